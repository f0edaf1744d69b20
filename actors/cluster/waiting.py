"""What Ray was asked for and has no place for yet, in words.

`ray status` says as much on the head; a driver may be anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import ray
from ray.autoscaler.v2.schema import ClusterStatus
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
    status = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=ANSWERS_WITHIN_S)
    return in_words(status, grows=may_grow())


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
