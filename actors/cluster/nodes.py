"""The machines of the Ray that this process is connected to: where the head is, and whether there are or may be others.

The number of nodes alive decides nothing by itself, since an autoscaling cluster starts with its head alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

NAMESPACE = "autodp"
"""The project's namespace on a cluster that others share."""
LOOPBACK = "127.0.0.1"
NODE_ID = "ray.io/node-id"
"""Ray's label on every node."""
NODE_GROUP = "ray.io/node-group"
"""Its label on nodes that `ray up` or KubeRay started; a head that `ray start` made by hand has none."""
_KIND = "accelerator_type:"
"""Begins the name of the resource by which Ray says the kind of a node's GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of the cluster, and what Ray may give away of it."""

    node_id: str
    address: str
    num_cpus: float
    num_gpus: float
    object_store_bytes: float
    accelerator: str | None = None
    """The kind of its GPUs in Ray's words, such as `H200`."""


def described_nodes() -> list[Node]:
    """The nodes that are alive, by address."""
    found = [
        Node(
            node_id=str(node["NodeID"]),
            address=str(node["NodeManagerAddress"]),
            num_cpus=float(node["Resources"].get("CPU", 0)),
            num_gpus=float(node["Resources"].get("GPU", 0)),
            object_store_bytes=float(node["Resources"].get("object_store_memory", 0)),
            accelerator=next((name.removeprefix(_KIND) for name in node["Resources"] if name.startswith(_KIND)), None),
        )
        for node in alive_nodes()
    ]
    return sorted(found, key=lambda node: (node.address, node.node_id))


def alive_nodes() -> list[dict[str, Any]]:
    """What Ray says of each node that is alive."""
    return [node for node in ray.nodes() if node["Alive"]]


def connection() -> str:
    """Tells this driver's connection from every other one; the numbers of jobs alone begin anew in each Ray."""
    context = ray.get_runtime_context()
    return f"{context.get_session_name()}/{context.get_job_id()}"


def head_address() -> str:
    """The address at which other nodes reach the head; loopback where this Ray is bound to it."""
    heads = [node["NodeManagerAddress"] for node in alive_nodes() if "node:__internal_head__" in node["Resources"]]
    return str(heads[0]) if heads else LOOPBACK


def is_on_loopback() -> bool:
    """Whether this Ray is bound to loopback, so that no other machine can ever join it."""
    return head_address() == LOOPBACK


def may_grow() -> bool:
    """Whether an autoscaler may add nodes: so where a launcher started them, but for a Ray of one's own in its pod."""
    return not is_on_loopback() and any(NODE_GROUP in node["Labels"] for node in alive_nodes())


def spans_machines() -> bool:
    """Whether this Ray has several nodes, or may have them later."""
    return len(alive_nodes()) > 1 or may_grow()
