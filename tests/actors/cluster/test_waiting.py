"""What is said of demands that have no place on the cluster yet."""

from __future__ import annotations

import time

import pytest
import ray
from ray.actor import ActorHandle
from ray.autoscaler.v2.schema import (
    ClusterStatus,
    LaunchRequest,
    NodeInfo,
    NodeUsage,
    PlacementGroupResourceDemand,
    RayTaskActorDemand,
    ResourceDemandSummary,
    ResourceRequestByCount,
    ResourceUsage,
)
from ray.util import placement_group, remove_placement_group

from actors.cluster.waiting import (
    ALL_PLACED,
    beyond_nodes,
    in_words,
    nodes_waited_for,
    of_workers,
    waited_for,
    workers_waited_for,
)


def node(**total: float) -> NodeInfo:
    usage = [ResourceUsage(resource_name=kind, total=amount, used=amount) for kind, amount in total.items()]
    return NodeInfo(
        instance_type_name="",
        ray_node_type_name="",
        instance_id="",
        ip_address="127.0.0.2",
        resource_usage=NodeUsage(usage=usage, idle_time_ms=0),
    )


def demands(*, replicas: int) -> ResourceDemandSummary:
    chat = ResourceRequestByCount(bundle={"CPU": 2.0, "GPU": 4.0}, count=replicas)
    trainers = ResourceRequestByCount(bundle={"CPU": 1.0, "bundle_group_0123": 0.001}, count=3)
    return ResourceDemandSummary(
        ray_task_actor_demand=[RayTaskActorDemand(bundles_by_count=[chat])],
        placement_group_demand=[PlacementGroupResourceDemand(bundles_by_count=[trainers], details="1:PACK|PENDING")],
    )


def test_demands_are_told_with_what_is_free_and_which_nodes_come() -> None:
    launch = LaunchRequest(
        instance_type_name="", ray_node_type_name="gpu", count=2, state=LaunchRequest.Status.PENDING, request_ts_s=0
    )
    status = ClusterStatus(
        idle_nodes=[node()],
        pending_launches=[launch],
        cluster_resource_usage=[ResourceUsage(resource_name="CPU", total=8, used=6.5)],
        resource_demands=demands(replicas=2),
    )
    waits = "no place yet for 3 x 1 CPU, 2 x 2 CPU and 4 GPU; 1.5 of 8 CPUs are free; 1 nodes are there, "
    assert in_words(status, grows=True) == f"{waits}2 more are coming"
    assert in_words(status, grows=False) == f"{waits}no more can come"
    assert in_words(ClusterStatus(), grows=True) == ALL_PLACED


def test_the_demands_of_groups_whose_workers_are_of_one_size_are_told_apart() -> None:
    status = ClusterStatus(idle_nodes=[node()], resource_demands=demands(replicas=2))
    words = in_words(of_workers(status, {"CPU": 1}), grows=False)
    assert words.startswith("no place yet for 3 x 1 CPU; ")
    assert in_words(of_workers(status, {"CPU": 2, "GPU": 4}), grows=False) == ALL_PLACED, "a replica, and no group"


@pytest.mark.parametrize(
    ("nodes", "waits"),
    [
        ([], True),
        ([{"CPU": 8.0}, {"CPU": 1.0, "GPU": 8.0}], True),
        ([{"CPU": 1.0}, {"CPU": 2.0, "GPU": 4.0}], False),
    ],
)
def test_what_waits_for_its_turn_on_a_node_is_told_apart_from_what_waits_for_a_node(
    nodes: list[dict[str, float]], waits: bool
) -> None:
    chat = ResourceRequestByCount(bundle={"CPU": 2.0, "GPU": 4.0, "memory": 1e15}, count=3)
    summary = ResourceDemandSummary(ray_task_actor_demand=[RayTaskActorDemand(bundles_by_count=[chat])])
    status = ClusterStatus(active_nodes=[node(**total) for total in nodes], resource_demands=summary)
    assert (in_words(beyond_nodes(status), grows=True) != ALL_PLACED) is waits


def test_without_ray_nothing_waits_for_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert nodes_waited_for() is None


@pytest.mark.usefixtures("local_ray")
def test_ray_tells_of_workers_that_it_cannot_place() -> None:
    group = placement_group([{"CPU": 66.0}] * 2)
    deadline = time.monotonic() + 20
    while (words := workers_waited_for({"CPU": 66.0})) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert words.startswith("no place yet for 2 x 66 CPU; ")
    assert workers_waited_for({"CPU": 65.0}) is None
    remove_placement_group(group)


@pytest.mark.usefixtures("local_ray")
def test_ray_tells_of_an_actor_that_it_cannot_place() -> None:
    class Large:
        """Asks for more than there is."""

    def said(words: str) -> bool:
        deadline = time.monotonic() + 20
        while words not in (found := waited_for()):
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return True

    waiting: ActorHandle[Large] = ray.remote(num_cpus=77)(Large).remote()  # type: ignore[assignment]
    assert said("no place yet for 1 x 77 CPU; ")
    assert (nodes_waited_for() or "").startswith("no place yet for 1 x 77 CPU; ")
    ray.kill(waiting)
    assert said(ALL_PLACED)
    assert nodes_waited_for() is None
