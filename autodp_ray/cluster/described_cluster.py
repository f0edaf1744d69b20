"""A cluster as a file describes it: that of Ray's launcher (`ray up`), or a manifest of KubeRay.

Knows how many nodes of each group there may be and what one of them has. Connects to nothing.
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autodp_ray.config.yaml_settings import read_settings, shown
from operators.contract.errors import InputError

_CLUSTER_IN_SPEC = {"RayCluster": None, "RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}
_A_CLUSTER = (
    "give the file of `ray up`, which has available_node_types, or a manifest of KubeRay of the kind "
    f"{', '.join(_CLUSTER_IN_SPEC)}"
)
_KUBERAY_HEAD = "headgroup"
"""What Ray's autoscaler calls the head of a KubeRay cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """Nodes of one kind: how many there may be, and what each has."""

    name: str
    num_nodes: int
    num_cpus: float
    num_gpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedCluster:
    """A cluster at its largest."""

    source: str
    groups: tuple[NodeGroup, ...]

    @property
    def num_cpus(self) -> float:
        return sum(group.num_nodes * group.num_cpus for group in self.groups)

    @property
    def num_gpus(self) -> float:
        return sum(group.num_nodes * group.num_gpus for group in self.groups)


class _Resources(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    cpus: float = Field(alias="CPU", ge=0)
    gpus: float = Field(default=0.0, alias="GPU", ge=0)


class _NodeType(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    resources: _Resources
    max_workers: int | None = Field(default=None, ge=0)


class _Launched(BaseModel):
    """What the launcher's file says of its nodes; the rest is Ray's and the cloud's."""

    model_config = ConfigDict(frozen=True, extra="allow")

    available_node_types: Mapping[str, _NodeType]
    head_node_type: str
    max_workers: int = Field(default=2, ge=0)


def read_cluster(path: str) -> DescribedCluster:
    """The cluster that a file of `ray up`, or KubeRay's RayCluster, RayJob or RayService describes.

    Raises: InputError where the file describes none, or leaves out what its nodes have.
    """
    values = read_settings(path, advice=_A_CLUSTER)
    kind, source = str(values.get("kind")), shown(path)
    if kind in _CLUSTER_IN_SPEC:
        values = _of_kuberay(values, _CLUSTER_IN_SPEC[kind], source)
    elif "available_node_types" not in values:
        raise InputError(f"{source} describes no cluster: {_A_CLUSTER}")
    try:
        launched = _Launched.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{source}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}; a plan needs the CPUs (and "
            "GPUs) of every kind of node in its resources"
        ) from None
    if launched.head_node_type not in launched.available_node_types:
        raise InputError(f"{source}: head_node_type {launched.head_node_type!r} is not among available_node_types")
    return DescribedCluster(source=source, groups=_groups(launched))


def _groups(launched: _Launched) -> tuple[NodeGroup, ...]:
    """The head, and as many workers as there may be; where a bound on all cuts them, most GPUs come first."""
    head = launched.head_node_type
    kinds = sorted(
        launched.available_node_types.items(),
        key=lambda item: (item[0] != head, -item[1].resources.gpus, -item[1].resources.cpus),
    )
    found, left = [], launched.max_workers
    for name, kind in kinds:
        wanted = launched.max_workers if kind.max_workers is None else kind.max_workers
        workers = min(left, 0 if name == head and kind.max_workers is None else wanted)
        left -= workers
        found.append(
            NodeGroup(
                name=name,
                num_nodes=workers + (name == head),
                num_cpus=kind.resources.cpus,
                num_gpus=kind.resources.gpus,
            )
        )
    return tuple(group for group in found if group.num_nodes)


def _of_kuberay(values: Mapping[str, object], key: str | None, source: str) -> dict[str, object]:
    """A manifest as Ray's own autoscaler reads it: resources by `ray start`'s parameters, else by the pods' limits."""
    from ray.autoscaler._private.kuberay import autoscaling_config

    try:
        spec = values["spec"] if key is None else values["spec"][key]  # type: ignore[index]
        types = autoscaling_config._generate_available_node_types_from_ray_cr_spec(
            {"workerGroupSpecs": [], **spec}  # type: ignore[dict-item]
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, decimal.DecimalException) as error:
        raise InputError(f"{source}: what its pods have cannot be read ({type(error).__name__}: {error})") from None
    return {
        "available_node_types": types,
        "head_node_type": _KUBERAY_HEAD,
        "max_workers": sum(kind["max_workers"] for kind in types.values()),
    }
