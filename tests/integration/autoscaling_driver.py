"""A search's parts, a whole search and its `apply` on a cluster that starts as a head without CPUs.

    python -m tests.integration.autoscaling_driver FOLDER MODEL CONFIG

Nodes come for each and go when it has ended. The autoscaler is Ray's own, its nodes are processes of this machine on
loopback. Prints who holds which node at each change, and at the end the seconds that the last node outlived each part.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Literal, Self

import ray

from actors.cache.cache_actor import open_strategy_cache
from actors.cluster.nodes import NAMESPACE, NODE_GROUP, alive_nodes
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.llm.engines.transformers import TransformersLLM
from actors.llm.server import start_llm, stop_llm
from actors.models.source import resolve_model
from actors.storage.storage import Storage
from actors.training.recipe import TrainingRecipe
from actors.training.service import TrainingService
from operators.contract.counts import Transformed
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Resources
from tests.autodp_ray.run_fakes import records
from tests.integration.watching import descendants, titles

IDLE_S = 12.0
"""After so long without work the autoscaler takes a node away."""
GONE_WITHIN_S = 120.0
LOOKS_EVERY_S = 0.5
HEAD, PORT = "127.0.0.2", 6399
"""No head of several nodes is at 127.0.0.1, which stands for a Ray that has one machine."""
LAUNCHERS = (
    "cluster_synced_files",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "rsync_exclude",
    "rsync_filter",
)
"""What the launcher would fill in, and the autoscaler looks for."""


class ModelStandIn(RowOperator):
    """Runs on an actor pool, as operators with a model do."""

    needs: ClassVar[Needs] = Needs(own_model=True)
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["model_stand_in"] = "model_stand_in"

    def build(self, resources: Resources) -> RowTransform:
        return lambda batch: Transformed(table=batch)


def autoscaling(folder: Path) -> Path:
    """The launcher's file: a head without CPUs, and two nodes at most."""
    settings = {
        "cluster_name": "autodp",
        "max_workers": 2,
        "idle_timeout_minutes": IDLE_S / 60,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "external",
            "module": "tests.integration.autoscaling_nodes.LoopbackNodes",
            "gcs_address": f"{HEAD}:{PORT}",
            "use_node_id_as_ip": True,  # else the autoscaler takes nodes on one machine for one
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in LAUNCHERS},
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": {"CPU": 2, "memory": 2 * 2**30, "object_store_memory": 100 * 2**20},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
    }
    file = folder / "cluster.json"
    file.write_text(json.dumps(settings))
    return file


@contextmanager
def head(folder: Path) -> Iterator[int]:
    """The process of a head of our own.

    At the end the very processes that came of it are ended: `ray stop` would end others' too.
    """
    environment = os.environ | {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "0",
    }
    ray_command = str(Path(sys.executable).with_name("ray"))
    command = [ray_command, "start", "--head", "--block", f"--port={PORT}", f"--node-ip-address={HEAD}", "--num-cpus=0"]
    options = [f"--autoscaling-config={autoscaling(folder)}", "--include-dashboard=false", "--disable-usage-stats"]
    options.append(f"--labels={NODE_GROUP}=ray.head.default")  # as the launcher does: more nodes may come
    with (folder / "head.log").open("w") as log:
        started = subprocess.Popen(
            [*command, *options], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            yield started.pid
        finally:
            for pid in descendants(started.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            started.wait()


@contextmanager
def connected() -> Iterator[None]:
    for _ in range(60):
        try:
            ray.init(address=f"{HEAD}:{PORT}", namespace=NAMESPACE, log_to_driver=False)
        except (ConnectionError, RuntimeError):
            time.sleep(2)
        else:
            break
    else:
        raise SystemExit("the head did not start")
    try:
        yield
    finally:
        ray.shutdown()


def num_workers() -> int:
    return len(alive_nodes()) - 1


def holders(of_head: int) -> list[list[str]]:
    """What runs on each node beside the head, by the titles that Ray gives its workers; one that is idle holds none."""
    raylets = [
        pid
        for pid, title in titles(descendants(of_head)).items()
        if "/raylet " in title and f"--node_ip_address={HEAD}" not in title
    ]
    return sorted(sorted(set(filter(None, map(working_as, titles(descendants(pid)).values())))) for pid in raylets)


def working_as(title: str) -> str | None:
    """`RayTrainWorker` of `ray::RayTrainWorker.execute`; None for what every node has, or an idle worker."""
    found = re.match(r"ray::(?!IDLE|DashboardAgent|RuntimeEnvAgent)(\w+)", title)
    return found and found[1]


class Watch:
    """Says when the number of nodes changes, or what runs on them, for the length of a `with`."""

    def __init__(self, of_head: int) -> None:
        self._head = of_head
        self._began = time.monotonic()
        self._phase = "start"
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._looking.join()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {self._phase:<9} {text}", flush=True)

    def _look(self) -> None:
        before = None
        while not self._ended.wait(LOOKS_EVERY_S):
            if (now := (num_workers(), holders(self._head))) != before:
                number, held = before = now
                self.say(f"{number} nodes beside the head: {' | '.join(', '.join(each) or 'idle' for each in held)}")

    def part(self, name: str, work: Callable[[], None]) -> float:
        """Seconds from the end of the work to the end of the last node."""
        self._phase = name
        assert num_workers() == 0, "it starts from the head alone"
        work()
        assert num_workers() > 0, "nodes came for it"
        self.say("has ended")
        ended = time.monotonic()
        while num_workers() > 0:
            if time.monotonic() - ended > GONE_WITHIN_S:
                raise SystemExit(f"{num_workers()} nodes are still held {GONE_WITHIN_S:g} s after {name}")
            time.sleep(LOOKS_EVERY_S)
        return time.monotonic() - ended


def command_line(folder: str, *arguments: str) -> None:
    """`autodp` on this cluster, whose nodes all see the folder."""
    environment = os.environ | {"RAY_ADDRESS": f"{HEAD}:{PORT}", "AUTODP_SHARED_STORAGE": "1"}
    with (Path(folder) / f"{arguments[0]}.log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "autodp_ray.cli", *arguments], env=environment, stdout=log, stderr=log, check=False
        )
    assert done.returncode == 0, Path(log.name).read_text()[-3000:]


def main(folder: str, model: str, config: str) -> None:
    storage = Storage.at(folder)
    recipe = TrainingRecipe(num_cpus_per_worker=1)

    def chat() -> None:
        stop_llm(start_llm(TransformersLLM(model=model, num_cpus=1, start_timeout_s=300)))

    def team() -> None:
        rows = StoredDataset.write(storage.folder("in"), [records([f"text {at}"]) for at in range(8)])
        pool = PoolConfig(num_cpus_per_worker=1)
        run_recipe(rows, [ModelStandIn()], resources=Resources(), out=storage.folder("out"), pool=pool)

    def trainings() -> None:
        service = TrainingService(recipe, storage_path=storage.uri("training"))
        service.warm_up(resolve_model(model))
        while num_workers() == 0:
            time.sleep(LOOKS_EVERY_S)
        time.sleep(5)
        service.close()

    def search() -> None:
        command_line(folder, "run", config, "--run-dir", f"{folder}/run", "--set", f"storage={folder}/stored")

    def apply() -> None:
        command_line(folder, "apply", f"{folder}/run", "--strategy", "cleaning", "--output", f"{folder}/cleaned")

    with (
        head(Path(folder)) as of_head,
        connected(),
        open_strategy_cache(storage.folder("cache"), holder="r1") as cache,
        Watch(of_head) as watch,
    ):
        outlived = {}
        for work in (team, chat, trainings, search, apply):
            outlived[work.__name__] = round(watch.part(work.__name__, work), 1)
            cache.release()
    print(json.dumps(outlived), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
