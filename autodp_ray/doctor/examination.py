"""Everything `autodp doctor` looks at, in the order in which it can be known.

Waits for no node and no endpoint longer than its limit. Each node is asked first what it is; only those that answer are
asked for more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from actors.cluster.nodes import Node, described_nodes
from actors.llm.engines.base import LLMSpec
from actors.models.gpu_memory import gpu_sizes
from actors.models.shape import ModelShape
from autodp_ray.cluster.needed import needed_roles
from autodp_ray.cluster.node_answers import Answer, ask_nodes
from autodp_ray.cluster.outside_operators import outside_references
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import Config
from autodp_ray.doctor.check import Check, Diagnosis, problem
from autodp_ray.doctor.machines import GpuAnswers, bfloat16, by_node, cluster_size, node_state
from autodp_ray.doctor.needs import agreement, dataset, endpoints, memory, model_sources, privacy, room
from autodp_ray.doctor.node_questions import (
    Installation,
    model_revision,
    model_shape,
    own_installation,
    screener_revision,
)
from autodp_ray.doctor.outside_operators import offered, on_nodes
from autodp_ray.doctor.packages import PackageNeed, installed, needed_packages, on_workers
from autodp_ray.doctor.storages import storages
from autodp_ray.progress import Progress
from operators.contract.errors import AutoDPError
from operators.outside import offers, operator_version

NODE_LIMIT_S = 60.0
"""Longest wait for what a node can say at once; it may have to start a worker first."""
MODEL_LIMIT_S = 180.0
"""Longest wait for the models: the first look at one reads all of its weights, or downloads them."""

T = TypeVar("T")


class Ask(Protocol):
    """`ask_nodes`, or what stands in for it."""

    def __call__(
        self, nodes: Sequence[Node], question: Callable[[], T], *, limit_s: float
    ) -> Callable[[], list[Answer[T]]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RayAccess:
    """How the Ray is reached that is looked at."""

    connect: Callable[[], AbstractContextManager[Cluster]]
    nodes: Callable[[], list[Node]] = described_nodes
    ask: Ask = ask_nodes


def examine(config: Config | None, *, access: RayAccess, progress: Progress) -> Diagnosis:
    """Look at the installation and the cluster, and with a config at what it needs."""
    one = _Examination(config=config, access=access, progress=progress)
    checks = one.before_ray()
    progress.phase("starting Ray, or connecting to the cluster")
    try:
        with access.connect() as cluster:
            checks += one.on_ray(cluster)
    except Exception as error:
        checks.append(problem("cluster", error))
    return Diagnosis(checks=tuple(checks))


@dataclass(slots=True, kw_only=True)
class _Examination:
    """One examination under way."""

    config: Config | None
    access: RayAccess
    progress: Progress
    own: Installation = field(default_factory=own_installation)

    @property
    def roles(self) -> dict[str, LLMSpec]:
        """The chat models that a run of the config asks."""
        return {} if self.config is None else needed_roles(self.config, self.config.search.used_teams)

    @property
    def needs(self) -> list[PackageNeed]:
        return [] if self.config is None else needed_packages(self.config, self.roles)

    def before_ray(self) -> list[Check]:
        """What this process sees by itself."""
        self.progress.phase("looking at this machine")
        checks = [*installed(self.own, self.needs), *offered(offers()), bfloat16()]
        if self.config is not None:
            checks.append(dataset(self.config.dataset))
            self.progress.phase("asking the endpoints")
            checks += endpoints(self.roles)
        return checks

    def on_ray(self, cluster: Cluster) -> list[Check]:
        """What the cluster and its nodes say."""
        nodes = self.access.nodes()
        self.progress.phase(f"asking the cluster's nodes ({len(nodes)})")
        asked = self.access.ask(nodes, own_installation, limit_s=NODE_LIMIT_S)
        asked_gpus = self.access.ask([node for node in nodes if node.num_gpus > 0], gpu_sizes, limit_s=NODE_LIMIT_S)
        answers, gpus = asked(), by_node(asked_gpus())
        checks = [cluster_size(cluster, nodes), *(node_state(self.own, answer, gpus) for answer in answers)]
        if self.config is None:
            return checks
        responsive = [answer.node for answer in answers if not isinstance(answer.value, AutoDPError)]
        checks += on_workers(self.needs, answers)
        checks += privacy(self.config, self.roles, cluster)
        checks.append(room(self.config, cluster))
        return checks + self._on_nodes(self.config, cluster, responsive, gpus)

    def _on_nodes(self, config: Config, cluster: Cluster, nodes: Sequence[Node], gpus: GpuAnswers) -> list[Check]:
        """Storage, models and memory; the models are looked up beside the storage."""
        if not nodes:
            return [problem("nodes", "none answers, so storage and models cannot be checked on them")]
        lookups = self._lookups(config, nodes)
        asked_shape = self._asked_shape(config, nodes)
        asked_operators = self._asked_operators(config, nodes)
        self.progress.phase("trying the storage")
        checks = storages(
            config.storage, cluster, lambda question: self.access.ask(nodes, question, limit_s=NODE_LIMIT_S)()
        )
        self.progress.phase("looking up the models")
        checks += [agreement(name, answers()) for name, answers in lookups]
        checks += [on_nodes(reference, answers()) for reference, answers in asked_operators]
        return checks + memory(config, asked_shape(), gpus)

    def _lookups(self, config: Config, nodes: Sequence[Node]) -> list[tuple[str, Callable[[], list[Answer[str]]]]]:
        """What every node must find under the same name, and what waits for the answers."""
        with_gpus = [node for node in nodes if node.num_gpus > 0]
        questions: list[tuple[str, Callable[[], str], Sequence[Node]]] = [
            (f"model {source}", partial(model_revision, source), with_gpus if on_gpus else nodes)
            for source, on_gpus in model_sources(config, self.roles).items()
        ]
        folder = config.screener.folder
        if folder is not None:
            questions.append((f"screener {folder}", partial(screener_revision, folder), nodes))
        return [(name, self.access.ask(where, asked, limit_s=MODEL_LIMIT_S)) for name, asked, where in questions]

    def _asked_operators(
        self, config: Config, nodes: Sequence[Node]
    ) -> list[tuple[str, Callable[[], list[Answer[str]]]]]:
        """The operators of other packages, and what waits for the nodes to say which version they have."""
        used = [operator for team in config.search.teams for operator in config.teams.recipe(team)]
        return [
            (reference, self.access.ask(nodes, partial(operator_version, reference), limit_s=NODE_LIMIT_S))
            for reference in outside_references(used)
        ]

    def _asked_shape(self, config: Config, nodes: Sequence[Node]) -> Callable[[], list[Answer[ModelShape | None]]]:
        """The tuned model's sizes, asked of a node where a training would have its GPUs."""
        is_wanted = config.training.num_gpus_per_worker > 0
        where = [node for node in nodes if is_wanted and node.num_gpus > 0][:1]
        return self.access.ask(where, partial(model_shape, config.models.tuned.model), limit_s=MODEL_LIMIT_S)
