"""The cluster and its nodes: what Ray may give away, and whether all run the same as the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.cluster.nodes import Node
from actors.models.cpu_features import multiplies_bf16
from actors.training.memory import GIB
from autodp_ray.cluster.node_answers import Answer
from autodp_ray.cluster.ray import Cluster
from autodp_ray.doctor.check import Check, ok, problem, warning
from autodp_ray.doctor.node_questions import Installation
from operators.contract.errors import AutoDPError

GpuAnswers = Mapping[str, tuple[int, ...] | AutoDPError]
"""By node id, for the nodes that Ray counts GPUs on: bytes of each one that torch sees."""


def bfloat16() -> Check:
    """What `auto` precision means on this machine's processor."""
    if multiplies_bf16():
        return ok("bfloat16", "this processor multiplies it natively")
    return ok("bfloat16", "not native to this processor: what runs on it with precision or dtype auto uses float32")


def cluster_size(cluster: Cluster, nodes: Sequence[Node]) -> Check:
    """How much there is in all, and whether it may become more."""
    stores = sum(node.object_store_bytes for node in nodes)
    kind = "a Ray of its own on this machine" if cluster.is_own else f"{cluster.num_nodes} nodes alive"
    more = "; an autoscaler may add nodes, looked at once they are alive" if cluster.may_grow else ""
    return ok(
        "cluster",
        f"{kind}, {cluster.num_cpus:g} CPUs, {cluster.num_gpus:g} GPUs, object store {stores / GIB:.1f} GiB{more}",
    )


def by_node(answers: Sequence[Answer[tuple[int, ...]]]) -> GpuAnswers:
    return {answer.node.node_id: answer.value for answer in answers}


def node_state(own: Installation, answer: Answer[Installation], gpus: GpuAnswers) -> Check:
    """Whether a node answers, runs what the driver runs, and can compute on the GPUs that Ray counts there."""
    node, found = answer.node, answer.value
    name = f"node {node.address}"
    if isinstance(found, AutoDPError):
        return problem(name, found)
    faults = [*_other_versions(own, found), *_gpu_faults(node, gpus)]
    if faults:
        return problem(name, "; ".join(faults))
    held = f"{node.num_cpus:g} CPUs, {_gpus(node, gpus)}object store {node.object_store_bytes / GIB:.1f} GiB"
    others = _other_packages(own, found)
    if others:
        return warning(name, f"{held}; {', '.join(others)}: results may differ in the last bits, or a worker may fail")
    return ok(name, held)


def _other_versions(own: Installation, found: Installation) -> list[str]:
    faults = []
    if found.python != own.python:
        faults.append(f"python is {found.python} there and {own.python} here: Ray wants the same on all nodes")
    if found.packages.get("ray") != own.packages.get("ray"):
        there, here = found.packages.get("ray"), own.packages.get("ray")
        faults.append(f"ray is {there} there and {here} here: install the same on all nodes")
    if found.code != own.code:
        faults.append(
            f"autodp_ray is other code there ({found.code[:12]}) than here ({own.code[:12]}): install the same, or "
            "submit a job with --working-dir"
        )
    return faults


def _other_packages(own: Installation, found: Installation) -> list[str]:
    """Packages that both have in other versions; a CUDA build of the same version is no other one."""
    pairs = [(module, found.packages.get(module), version) for module, version in own.packages.items()]
    return [
        f"{module} is {there} there and {here} here"
        for module, there, here in pairs
        if module != "ray" and there is not None and there.partition("+")[0] != here.partition("+")[0]
    ]


def _gpu_faults(node: Node, gpus: GpuAnswers) -> list[str]:
    seen = gpus.get(node.node_id)
    if node.num_gpus == 0 or seen is None:
        return []
    if isinstance(seen, AutoDPError):
        return [f"its GPUs cannot be asked: {seen}"]
    if len(seen) < node.num_gpus:
        return [f"Ray counts {node.num_gpus:g} GPUs, but torch sees {len(seen)}: install a CUDA build of torch"]
    return []


def _gpus(node: Node, gpus: GpuAnswers) -> str:
    seen = gpus.get(node.node_id)
    if node.num_gpus == 0 or not seen or isinstance(seen, AutoDPError):
        return "no GPU, "
    return f"{node.num_gpus:g} GPUs of {min(seen) / GIB:.1f} GiB that torch can use, "
