"""An autoscaling cluster starts with its head alone: the number of nodes alive decides nothing."""

from __future__ import annotations

import pytest
import ray

from actors.cluster_nodes import NODE_GROUP, head_address, is_on_loopback, may_grow, spans_machines
from actors.training.group import ranks_meet_locally
from actors.training.recipe import TrainingRecipe


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


def test_nodes_that_are_alive_count(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, node("10.0.0.2"), node("10.0.0.1", is_head=True))
    assert spans_machines()
    assert not may_grow()
    assert head_address() == "10.0.0.1"


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_ray_of_our_own_is_bound_to_loopback() -> None:
    assert head_address() == "127.0.0.1"
    assert is_on_loopback()
    assert not spans_machines()


def test_ray_names_the_label_of_a_node_group() -> None:
    from ray import _raylet

    assert _raylet.RAY_NODE_GROUP_KEY == NODE_GROUP


@pytest.mark.parametrize(
    ("num_workers", "num_gpus", "on_loopback", "locally"),
    [(2, 0, True, True), (2, 0, False, False), (1, 0, False, True), (2, 1, True, False), (1, 1, True, False)],
)
def test_only_ranks_that_cannot_be_apart_do_without_a_rendezvous(
    num_workers: int, num_gpus: float, on_loopback: bool, locally: bool
) -> None:
    recipe = TrainingRecipe(num_workers=num_workers, num_gpus_per_worker=num_gpus)
    assert ranks_meet_locally(recipe, on_loopback=on_loopback) is locally
