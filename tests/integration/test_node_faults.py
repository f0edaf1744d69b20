"""Whole runs on a cluster of several nodes while a node, a replica, the cache, the trainer and the driver are killed.

Whatever is killed, and at whichever of three moments: the run ends with what an undisturbed one found, and no step that
its journal holds is done again.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.training.service import start_queue
from tests.integration.conftest import MakeSandbox, Sandbox
from tests.integration.several_nodes import Nodes, several_nodes
from tests.integration.test_search_run import comparable

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

STRATEGIES = "cleaning,cleaning>generation,cleaning>selection,optimization"
PATIENCE_S = 600.0
DRIVER = "driver"
VICTIMS: Mapping[str, Callable[[Nodes], bool]] = {
    "replica": lambda nodes: nodes.kill_process("ray::ServeReplica"),
    "cache": lambda nodes: nodes.kill_process("ray::StrategyCache"),
    "trainer": lambda nodes: nodes.kill_process("ray::RayTrainWorker"),
    "node of the replica": lambda nodes: nodes.kill_node("ray::ServeReplica"),
    "node of the trainer": lambda nodes: nodes.kill_node("ray::RayTrainWorker"),
    "node of a team": lambda nodes: nodes.kill_node("ray::_attempted") or nodes.kill_node("ray::_call"),
}
"""Each kills what its name says, or says that there is none now."""


@dataclass(slots=True)
class Run:
    """A run on those nodes, and its driver of the moment."""

    sandbox: Sandbox
    nodes: Nodes
    driver: subprocess.Popen[str]

    @classmethod
    def start(cls, sandbox: Sandbox, nodes: Nodes, *arguments: str) -> Run:
        environment = {"RAY_ADDRESS": nodes.address, "AUTODP_SHARED_STORAGE": "1"}
        driver = subprocess.Popen(
            sandbox.command("run", *arguments),
            cwd=sandbox.folder,
            env=sandbox.environment() | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return cls(sandbox=sandbox, nodes=nodes, driver=driver)

    def kill(self, victim: str, *, event: str, count: int) -> None:
        """As soon as the journal holds so many events of that name, and the victim is there."""
        deadline = time.monotonic() + PATIENCE_S
        journal = self.sandbox.folder / "run" / "journal"
        while self.driver.poll() is None and time.monotonic() < deadline:
            if len(list(journal.glob(f"[0-9]*-{event}.json"))) >= count and self._killed(victim):
                return
            time.sleep(0.05)
        self.driver.kill()
        pytest.fail(f"no {victim} to kill after {count} {event}: {self.driver.communicate()[1][-3000:]}")

    def _killed(self, victim: str) -> bool:
        if victim != DRIVER:
            return VICTIMS[victim](self.nodes)
        self.driver.kill()
        self.driver.communicate()
        self.driver = Run.start(self.sandbox, self.nodes, "--resume", "run").driver
        return True

    def finish(self) -> dict[str, object]:
        """The result, as one that is to be compared."""
        _, errors = self.driver.communicate(timeout=PATIENCE_S)
        assert self.driver.returncode == 0, errors[-3000:]
        events = Counter((event["name"], event["key"]) for event in self.sandbox.events("run"))
        assert max(events.values()) == 1, "a finished step was repeated"
        return comparable(self.sandbox.result("run"))


@pytest.fixture(scope="module")
def make_chatting(make_sandbox: MakeSandbox, tiny_model: Path) -> Callable[[], Sandbox]:
    """Makes sandboxes whose chat model is a replica on the cluster."""
    chat = {"model": str(tiny_model), "max_model_len": 512, "retry_for_s": PATIENCE_S}
    models = {"agent": chat, "operators": chat, "tuned": {"model": str(tiny_model)}}
    return lambda: make_sandbox("", models=models)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with several_nodes() as found:
        yield found


def started(sandbox: Sandbox, nodes: Nodes) -> Run:
    return Run.start(sandbox, nodes, "config.yaml", "--run-dir", "run", "--strategies", STRATEGIES)


@pytest.fixture(scope="module")
def undisturbed(make_chatting: Callable[[], Sandbox], nodes: Nodes) -> dict[str, object]:
    return started(make_chatting(), nodes).finish()


FAULTS = {
    "one": (
        ("prepared", 1, "replica"),
        ("training", 1, "trainer"),
        ("team_run", 1, "cache"),
        ("training", 5, DRIVER),
        ("training", 7, "node of the trainer"),
    ),
    "two": (
        ("prepared", 1, "cache"),
        ("training", 1, DRIVER),
        ("training", 2, "node of the replica"),
        ("team_run", 1, "trainer"),
        ("team_run", 2, "replica"),
    ),
    "three": (
        ("training", 1, "replica"),
        ("training", 2, "cache"),
        ("proposal", 1, "node of a team"),
        ("team_run", 2, DRIVER),
        ("training", 7, "trainer"),
    ),
}
"""After which event of the journal what is killed: each victim at three moments."""


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_whatever_is_killed_the_run_ends_as_an_undisturbed_one(
    make_chatting: Callable[[], Sandbox],
    nodes: Nodes,
    undisturbed: dict[str, object],
    faults: tuple[tuple[str, int, str], ...],
) -> None:
    run = started(make_chatting(), nodes)
    for event, count, victim in faults:
        run.kill(victim, event=event, count=count)
        print(f"after {count} {event}: {victim}", flush=True)
    assert run.finish() == undisturbed


def test_what_a_run_cannot_make_anew_is_on_the_node_of_its_driver(nodes: Nodes) -> None:
    here, found = nodes.ask(places_of_queues)
    assert found == {here}


def places_of_queues() -> tuple[str, set[str]]:
    """The node of this driver, and those of a dozen queues that it starts."""
    queues: list[Any] = [start_queue(max_deaths=1) for _ in range(12)]
    found = ray.get([queue.__ray_call__.remote(_node_of_this_actor) for queue in queues])
    return ray.get_runtime_context().get_node_id(), set(found)


def _node_of_this_actor(actor: object) -> str:
    del actor
    return ray.get_runtime_context().get_node_id()


def test_a_run_whose_whole_cluster_is_gone_goes_on_with_another(
    make_chatting: Callable[[], Sandbox], undisturbed: dict[str, object]
) -> None:
    sandbox = make_chatting()
    with several_nodes() as first:
        run = started(sandbox, first)
        run.kill("node of a team", event="team_run", count=1)
        run.driver.kill()
        run.driver.communicate()
    with several_nodes() as second:
        assert Run.start(sandbox, second, "--resume", "run").finish() == undisturbed
