"""Plans against a cluster that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.cluster.nodes import Node
from autodp_ray.cluster.cluster_plan import cluster_plan
from autodp_ray.cluster.described_cluster import NodeGroup
from autodp_ray.cluster.live_cluster import cluster_of, live_cluster
from autodp_ray.config.run_config import load_config
from operators.contract.errors import InputError

PAPER = str(Path(__file__).parents[3] / "configs" / "paper" / "medical-o1.yaml")


def node(number: int, *, cpus: float, gpus: float) -> Node:
    return Node(
        node_id=str(number), address=f"10.0.0.{number}", num_cpus=cpus, num_gpus=gpus, object_store_bytes=2.0**30
    )


HEAD, FIRST, SECOND = node(1, cpus=16, gpus=0), node(2, cpus=96, gpus=8), node(3, cpus=96, gpus=8)


def test_nodes_that_have_the_same_are_one_group() -> None:
    assert cluster_of([FIRST, HEAD, SECOND], source="it").groups == (
        NodeGroup(name="96 CPUs, 8 GPUs", num_nodes=2, num_cpus=96, num_gpus=8),
        NodeGroup(name="16 CPUs, 0 GPUs", num_nodes=1, num_cpus=16, num_gpus=0),
    )


def test_what_is_alive_is_planned_like_what_is_described() -> None:
    config = load_config(PAPER)
    found = cluster_plan(config, cluster_of([HEAD, FIRST, SECOND], source="the cluster at auto"))
    assert [phase.name for phase in found.phases] == ["search", "judging", "tuning"]
    assert found.phases[-1].free_gpus == 0
    with pytest.raises(InputError, match=r"the cluster at auto .*at most 112 and 8"):
        cluster_plan(config, cluster_of([HEAD, FIRST], source="the cluster at auto"))


def test_a_cluster_that_nobody_named_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="RAY_ADDRESS names, and it is not set"):
        live_cluster()


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_nodes_of_a_running_ray_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    found = live_cluster()
    assert (found.num_cpus, found.num_gpus) == (4, 0)
    assert found.source == "the cluster at auto"
