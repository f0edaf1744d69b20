"""The cluster of RAY_ADDRESS as it is now, in the shape in which files describe clusters."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from actors.cluster.nodes import Node, described_nodes
from autodp_ray.cluster.described_cluster import DescribedCluster, NodeGroup
from autodp_ray.cluster.ray import connected
from operators.contract.errors import InputError

LIVE = "live"
"""What stands for it where a file could be named."""


def live_cluster() -> DescribedCluster:
    """The nodes that are alive. What an autoscaler may add to them only its file says.

    Raises: InputError where no cluster is named; RunError where it does not answer.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        raise InputError(
            f"--cluster {LIVE} asks the cluster that RAY_ADDRESS names, and it is not set: set it (auto: the cluster "
            "of this machine), or give the file that describes the cluster"
        )
    with connected() as found:
        more = " (an autoscaler may add nodes: plan against its file)" if found.may_grow else ""
        return cluster_of(described_nodes(), source=f"the cluster at {address}{more}")


def cluster_of(nodes: Sequence[Node], *, source: str) -> DescribedCluster:
    """Nodes that have the same, together; those with most GPUs and CPUs first."""
    kinds = Counter((node.num_gpus, node.num_cpus) for node in nodes)
    groups = tuple(
        NodeGroup(name=f"{cpus:g} CPUs, {gpus:g} GPUs", num_nodes=count, num_cpus=cpus, num_gpus=gpus)
        for (gpus, cpus), count in sorted(kinds.items(), reverse=True)
    )
    return DescribedCluster(source=source, groups=groups)
