"""What Ray was asked for and has no place for yet, in words.

`ray status` says as much on the head; a driver may be anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import ray
from ray.autoscaler.v2.schema import ClusterStatus, ResourceDemandSummary
from ray.autoscaler.v2.sdk import get_cluster_status

from actors.cluster.nodes import may_grow

ANSWERS_WITHIN_S = 10
COUNTED = ("CPU", "GPU")
"""Resources that a cluster's users count in."""
ALL_PLACED = "everything has its place on the cluster"


def waited_for() -> str:
    """What waits for a place, what of the cluster is free, and whether nodes are coming.

    Raises: what Ray raises where it does not answer.
    """
    return in_words(_status(), grows=may_grow())


def workers_waited_for(worker: Mapping[str, float]) -> str | None:
    """The same of groups whose workers hold so much each, and of nothing else; None where all of them have a place.

    Raises: what Ray raises where it does not answer.
    """
    status = of_workers(_status(), worker)
    return in_words(status, grows=may_grow()) if status.resource_demands.placement_group_demand else None


def nodes_waited_for() -> str | None:
    """The same of tasks and actors that no node which is there could hold, were it idle; None where there are none.

    Raises: what Ray raises where it does not answer.
    """
    if not ray.is_initialized():
        return None
    status = beyond_nodes(_status())
    return in_words(status, grows=may_grow()) if status.resource_demands.ray_task_actor_demand else None


def beyond_nodes(status: ClusterStatus) -> ClusterStatus:
    """The status with the demands of such tasks and actors alone."""
    nodes = [node.total_resources() for node in (*status.active_nodes, *status.idle_nodes)]
    demands = status.resource_demands.ray_task_actor_demand
    beyond = [each for each in demands if any(_exceeds(one.bundle, nodes) for one in each.bundles_by_count)]
    return replace(status, resource_demands=ResourceDemandSummary(ray_task_actor_demand=beyond))


def _exceeds(bundle: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> bool:
    """Whether it is more than each of the nodes has, whose memory is left out: tasks ask for no more than there is."""
    amounts = {kind: amount for kind, amount in bundle.items() if kind != "memory"}
    return not any(all(node.get(kind, 0.0) >= amount for kind, amount in amounts.items()) for node in nodes)


def of_workers(status: ClusterStatus, worker: Mapping[str, float]) -> ClusterStatus:
    """The status with the demands of such groups alone."""
    groups = status.resource_demands.placement_group_demand
    amounts = _amounts(worker)
    own = [group for group in groups if all(_amounts(each.bundle) == amounts for each in group.bundles_by_count)]
    return replace(status, resource_demands=ResourceDemandSummary(placement_group_demand=own))


def _status() -> ClusterStatus:
    return get_cluster_status(ray.get_runtime_context().gcs_address, timeout=ANSWERS_WITHIN_S)


def in_words(status: ClusterStatus, *, grows: bool) -> str:
    """The status for people; `grows` where an autoscaler may add nodes."""
    wanted = status.resource_demands
    asked: Counter[str] = Counter()
    for demand in (*wanted.ray_task_actor_demand, *wanted.placement_group_demand):
        for bundle in demand.bundles_by_count:
            asked[_amounts(bundle.bundle)] += bundle.count
    if not asked:
        return ALL_PLACED
    demands = ", ".join(f"{count} x {amounts}" for amounts, count in sorted(asked.items()))
    num_nodes = len(status.active_nodes) + len(status.idle_nodes)
    num_coming = sum(launch.count for launch in status.pending_launches) + len(status.pending_nodes)
    more = f"{num_coming} more are coming" if grows else "no more can come"
    return f"no place yet for {demands}; {_free(status)} are free; {num_nodes} nodes are there, {more}"


def _free(status: ClusterStatus) -> str:
    free, total = status.available_resources(), status.total_resources()
    kinds = [kind for kind in COUNTED if kind in total] or COUNTED[:1]
    return " and ".join(f"{free.get(kind, 0.0):g} of {total.get(kind, 0.0):g} {kind}s" for kind in kinds)


def _amounts(bundle: Mapping[str, float]) -> str:
    kinds = [kind for kind in COUNTED if bundle.get(kind)] or sorted(bundle)
    return " and ".join(f"{bundle[kind]:g} {kind}" for kind in kinds)
