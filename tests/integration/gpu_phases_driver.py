"""The phases of the paper's search on a simulated cluster: a head and two nodes of eight GPUs that are only numbers.

    python -m tests.integration.gpu_phases_driver FOLDER

What holds GPUs is as large as the plan for `cluster.yaml` says, and is placed by the real Serve, Ray Train and Ray
Data; it only writes into FOLDER/held.jsonl where it stands and from when to when.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import ray
from ray import serve
from ray.cluster_utils import Cluster
from ray.train.v2.api.config import RunConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from actors.cluster.nodes import LOOPBACK, NAMESPACE, described_nodes
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.serve.app import delete_application, run_application
from actors.storage.storage import Storage
from actors.training.group import scaling
from actors.training.recipe import TrainingRecipe
from autodp_ray.cluster.cluster_plan import Holding, cluster_plan
from autodp_ray.cluster.described_cluster import read_cluster
from autodp_ray.config.run_config import Config, load_config
from operators.contract.counts import Transformed
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Resources
from tests.autodp_ray.run_fakes import records

ROOT = Path(__file__).parents[2]
SEARCHED, CHAT = "autodp-search-ends", "chat"
PART_S, REPLY_S = 1.0, 2.0
QUIET: dict[str, Any] = {"prestart_worker_first_driver": False, "enable_worker_prestart": False}
"""Ray would start a process for each of a node's 96 CPUs."""


@contextmanager
def held(folder: str, who: str) -> Iterator[None]:
    """Writes down that this process holds its GPUs, from now to the end."""
    since = time.time()
    note(folder, who, since, None)
    try:
        yield
    finally:
        note(folder, who, since, time.time())


def note(folder: str, who: str, since: float, until: float | None) -> None:
    context = ray.get_runtime_context()
    body = {
        "who": who,
        "node": context.get_node_id()[:6],
        "gpus": sorted(int(each) for each in context.get_accelerator_ids().get("GPU", [])),
        "pid": os.getpid(),
        "since": since,
        "until": until,
    }
    with (Path(folder) / "held.jsonl").open("a") as file:
        file.write(json.dumps(body) + "\n")


class GradientStandIn(RowOperator):
    """Holds a GPU for each part, as `select_by_gradient` does."""

    needs: ClassVar[Needs] = Needs(gpus=1.0, own_model=True)
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["gradient_stand_in"] = "gradient_stand_in"
    folder: str

    def build(self, resources: Resources) -> RowTransform:
        def transform(batch: pa.Table) -> Transformed:
            with held(self.folder, "gradients"):
                time.sleep(PART_S)
            return Transformed(table=batch)

        return transform


class Replica:
    """A chat model that takes its time."""

    def __init__(self, folder: str) -> None:
        note(folder, "chat model", time.time(), None)

    async def __call__(self) -> str:
        import asyncio  # in the replica

        await asyncio.sleep(REPLY_S)
        return "done"


def train(config: dict[str, str]) -> None:
    """A rank that stays until the search, or for a tuning its own time, is over."""
    import ray.train  # in the worker

    with held(config["folder"], config["who"]):
        if config["who"] == "trainers":
            while not (Path(config["folder"]) / SEARCHED).exists():
                time.sleep(0.2)
        else:
            ray.train.report({})  # where all ranks meet: each holds its GPU at that moment


def fit(recipe: TrainingRecipe, *, folder: str, who: str) -> None:
    run_config: Any = RunConfig(name=who, storage_path=folder)  # Ray's stubs still name the class of Train v1
    DataParallelTrainer(
        train,
        train_loop_config={"folder": folder, "who": who},
        scaling_config=scaling(recipe),
        run_config=run_config,
    ).fit()


def chat_application(holding: Holding, folder: str) -> serve.Application:
    scale: dict[str, Any] = {"min_replicas": 1, "max_replicas": holding.num_workers, "target_ongoing_requests": 1}
    options = {"num_cpus": holding.num_cpus, "num_gpus": holding.num_gpus}
    scale |= {"upscale_delay_s": 1.0, "interval_s": 0.5}
    deployment = serve.deployment(ray_actor_options=options, autoscaling_config=scale)(Replica)
    return deployment.bind(folder)


def search(config: Config, holdings: Sequence[Holding], folder: str) -> None:
    """Trainers hold theirs throughout; gradients come and go while the chat model wants its second replica."""
    (chat,) = [each for each in holdings if each.who.startswith("chat model")]
    trainers = threading.Thread(
        target=fit, args=(config.training,), kwargs={"folder": folder, "who": "trainers"}, daemon=True
    )
    trainers.start()
    serve.start(proxy_location="Disabled")  # it is asked by handles
    run_application(chat_application(chat, folder), name=CHAT, timeout_s=180)
    handle = serve.get_app_handle(CHAT)
    rows = StoredDataset.write(Storage.at(folder).folder("in"), [records([f"text {at}"]) for at in range(12)])
    with ThreadPoolExecutor(1) as beside:
        team = beside.submit(
            run_recipe,
            rows,
            [GradientStandIn(folder=folder)],
            resources=Resources(),
            out=Storage.at(folder).folder("out"),
            pool=PoolConfig(max_workers=config.pool.max_gradient_workers, num_cpus_per_worker=1),
        )
        while len(standing(folder, "chat model")) < chat.num_workers or not team.done():
            for reply in [handle.remote() for _ in range(8)]:
                assert reply.result() == "done"
        assert team.result().num_rows == rows.num_rows
    print("judging: the chat model answers while the trainers hold theirs", flush=True)
    assert [reply.result() for reply in [handle.remote() for _ in range(8)]] == ["done"] * 8
    (Path(folder) / SEARCHED).touch()
    trainers.join()
    delete_application(CHAT)


def standing(folder: str, who: str) -> list[dict[str, Any]]:
    file = Path(folder) / "held.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [line for line in lines if line["who"] == who]


def main(folder: str) -> None:
    config = load_config(str(ROOT / "configs" / "paper" / "medical-o1.yaml"))
    plan = cluster_plan(config, read_cluster(str(ROOT / "cluster.yaml")))
    assert config.tune is not None
    cluster = Cluster()
    cluster.add_node(num_cpus=16, num_gpus=0, node_ip_address=LOOPBACK, include_dashboard=False, _system_config=QUIET)
    for _ in range(2):
        cluster.add_node(num_cpus=96, num_gpus=8, node_ip_address=LOOPBACK, object_store_memory=200 * 2**20)
    ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
    try:
        print([(node.num_cpus, node.num_gpus) for node in described_nodes()], flush=True)
        search(config, plan.phases[0].holdings, folder)
        fit(config.tune, folder=folder, who="tuning")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
