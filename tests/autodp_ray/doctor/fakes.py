"""A cluster that is not there: its nodes answer in this process, or are told what to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from actors.cluster.nodes import Node
from autodp_ray.cluster.node_answers import Answer, answer
from autodp_ray.cluster.ray import Cluster
from autodp_ray.doctor.examination import RayAccess
from autodp_ray.doctor.node_questions import PACKAGES, Installation
from operators.contract.errors import AutoDPError

T = TypeVar("T")
GIB = 2**30
INSTALLED = Installation(python="3.11.9", code="c" * 64, packages=dict.fromkeys(PACKAGES, "1.0"))


def node(number: int = 1, *, num_gpus: float = 0) -> Node:
    return Node(
        node_id=f"n{number}",
        address=f"10.0.0.{number}",
        num_cpus=4,
        num_gpus=num_gpus,
        object_store_bytes=2 * GIB,
    )


def said(value: T | AutoDPError, number: int = 1, *, num_gpus: float = 0) -> Answer[T]:
    return Answer(node=node(number, num_gpus=num_gpus), value=value)


def cluster(num_nodes: int = 1, *, is_own: bool = False, may_grow: bool = False, num_gpus: float = 0) -> Cluster:
    return Cluster(
        is_own=is_own,
        num_nodes=num_nodes,
        may_grow=may_grow,
        num_cpus=4.0 * num_nodes,
        num_gpus=num_gpus,
        hosts=frozenset(f"10.0.0.{number}" for number in range(1, num_nodes + 1)),
    )


class FakeRay:
    """Nodes that answer at once and truly, but for those that are silent."""

    def __init__(self, *nodes: Node, silent: dict[str, AutoDPError] | None = None, fails: Exception | None = None):
        self.nodes = nodes or (node(),)
        self.asked: list[tuple[str, str]] = []
        """Name of the question, by node."""
        self._silent = silent or {}
        self._fails = fails

    @contextmanager
    def connect(self) -> Iterator[Cluster]:
        if self._fails is not None:
            raise self._fails
        yield cluster(len(self.nodes), is_own=len(self.nodes) == 1)

    def ask(self, nodes: Sequence[Node], question: Callable[[], T], *, limit_s: float) -> Callable[[], list[Answer[T]]]:
        name = getattr(question, "func", question).__name__
        self.asked += [(name, one.node_id) for one in nodes]

        def value(of: Node) -> T | AutoDPError:
            return self._silent[of.node_id] if of.node_id in self._silent else answer(question)

        return lambda: [Answer(node=one, value=value(one)) for one in nodes]

    def access(self) -> RayAccess:
        return RayAccess(connect=self.connect, nodes=lambda: list(self.nodes), ask=self.ask)
