"""An autoscaling cluster starts with its head alone: the number of nodes alive decides nothing."""

from __future__ import annotations

import pytest
import ray

from actors.cluster.nodes import NODE_GROUP, described_nodes, head_address, is_on_loopback, may_grow, spans_machines


def node(address: str, *, is_head: bool = False, alive: bool = True, group: str | None = None) -> dict[str, object]:
    return {
        "Alive": alive,
        "NodeManagerAddress": address,
        "Resources": {"node:__internal_head__": 1.0} if is_head else {},
        "Labels": {} if group is None else {NODE_GROUP: group},
    }


def connect(monkeypatch: pytest.MonkeyPatch, *nodes: dict[str, object]) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: list(nodes))


def test_the_head_of_a_launcher_s_cluster_expects_others(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, node("10.0.0.1", is_head=True, group="head"))
    assert may_grow()
    assert spans_machines()
    assert head_address() == "10.0.0.1"


def test_a_head_that_was_started_by_hand_is_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, node("10.0.0.1", is_head=True), node("10.0.0.2", alive=False))
    assert not may_grow()
    assert not spans_machines()
    assert not is_on_loopback(), "others may be started by hand"


def test_a_ray_on_loopback_in_a_launcher_s_pod_stays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, node("127.0.0.1", is_head=True, group="head"))
    assert not may_grow()
    assert not spans_machines()


def test_nodes_that_are_alive_count(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, node("10.0.0.2"), node("10.0.0.1", is_head=True))
    assert spans_machines()
    assert not may_grow()
    assert head_address() == "10.0.0.1"


def test_nodes_are_described_by_what_ray_may_give_away(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {"CPU": 8.0, "GPU": 2.0, "object_store_memory": 5.0, "accelerator_type:H200": 1.0}
    larger = {**node("10.0.0.2"), "NodeID": "b", "Resources": offered}
    gone = {**node("10.0.0.3", alive=False), "NodeID": "c"}
    connect(monkeypatch, larger, gone, {**node("10.0.0.1", is_head=True), "NodeID": "a"})
    first, second = described_nodes()
    assert (first.address, first.num_cpus, first.num_gpus, first.object_store_bytes) == ("10.0.0.1", 0, 0, 0)
    assert (second.node_id, second.num_cpus, second.num_gpus, second.object_store_bytes) == ("b", 8, 2, 5)
    assert (first.accelerator, second.accelerator) == (None, "H200")


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_ray_of_our_own_is_bound_to_loopback() -> None:
    assert head_address() == "127.0.0.1"
    assert is_on_loopback()
    assert not spans_machines()


def test_ray_names_the_label_of_a_node_group() -> None:
    from ray import _raylet

    assert vars(_raylet)["RAY_NODE_GROUP_KEY"] == NODE_GROUP
