"""Who holds which CPUs and GPUs of a described cluster in each phase, placed node by node, or why it cannot be.

What holds GPUs is a worker: it stands on one node whole, so sums alone do not say whether a cluster can hold a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from actors.llm.engines.base import ServedLLM
from autodp_ray.cluster.described_cluster import DescribedCluster
from autodp_ray.cluster.needed import needed_roles
from autodp_ray.cluster.resource_plan import ResourcePlan, resource_plan
from autodp_ray.config.run_config import Config
from operators.contract.errors import InputError

_CLOSE = 1e-9


class Holding(BaseModel):
    """Workers of one kind, alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: str
    num_workers: int
    num_cpus: float
    """Of each, as `num_gpus`."""
    num_gpus: float
    lower: str = Field(exclude=True)
    """The settings that make it smaller."""
    nodes: dict[str, int] = {}
    """How many stand on nodes of each group."""

    @property
    def cpus(self) -> float:
        return self.num_workers * self.num_cpus

    @property
    def gpus(self) -> float:
        return self.num_workers * self.num_gpus


class Phase(BaseModel):
    """A part of a run in which the same workers live."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    holdings: tuple[Holding, ...]
    free_cpus: float
    free_gpus: float


class ClusterPlan(BaseModel):
    """The phases of a run and of the tuning after it, on a cluster at its largest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str
    num_cpus: float
    num_gpus: float
    phases: tuple[Phase, ...]

    def text(self) -> str:
        """For people: a table."""
        table = Table(title=f"{self.cluster}: at most {self.num_cpus:g} CPUs and {self.num_gpus:g} GPUs")
        for column in ("phase", "who", "workers", "CPUs", "GPUs", "on"):
            table.add_column(column, justify="right" if column in ("workers", "CPUs", "GPUs") else "left")
        for phase in self.phases:
            for number, held in enumerate(phase.holdings):
                nodes = ", ".join(f"{count} on {name}" for name, count in held.nodes.items())
                name = phase.name if number == 0 else ""
                table.add_row(name, held.who, str(held.num_workers), f"{held.cpus:g}", f"{held.gpus:g}", nodes)
            table.add_row("", "free", "", f"{phase.free_cpus:g}", f"{phase.free_gpus:g}", end_section=True)
        console = Console(width=110, no_color=True, highlight=False)
        with console.capture() as capture:
            console.print(table)
        return capture.get().rstrip()


def cluster_plan(config: Config, cluster: DescribedCluster) -> ClusterPlan:
    """What each phase holds, and where.

    Chat models count with all the replicas that they may have, since a run keeps room for them. Of the workers of
    operators one must find its place; more of them take what is free.

    Raises: InputError for a phase that the cluster cannot hold, with the numbers and the settings to lower.
    """
    plan = resource_plan(config)
    models, trainers, screener = _chat_models(config), _trainers(config), _screener(plan)
    operator = Holding(
        who="operators, the largest worker",
        num_workers=1,
        num_cpus=plan.operator_cpus,
        num_gpus=plan.operator_gpus,
        lower="pool.num_cpus_per_worker, pool.num_gpus_per_gradient_worker or the operator that needs so much",
    )
    phases = {"search": [*models, trainers, *screener, operator]}
    if config.evaluation.evaluator.roles:
        phases["judging"] = [*models, trainers, *screener]
    phases["tuning"] = [_tuning(config)]
    return ClusterPlan(
        cluster=cluster.source,
        num_cpus=cluster.num_cpus,
        num_gpus=cluster.num_gpus,
        phases=tuple(_placed(name, holdings, cluster) for name, holdings in phases.items()),
    )


def _chat_models(config: Config) -> list[Holding]:
    """One for each model, whatever its roles; a replica of several stages may stand on as many nodes."""
    roles = needed_roles(config, config.search.used_teams)
    found = []
    for spec in dict.fromkeys(roles.values()):
        if not isinstance(spec, ServedLLM):
            continue
        names = [role for role, each in roles.items() if each == spec]
        keys = [key for key in ("max_replicas", "tensor_parallel", "num_cpus", "num_gpus") if hasattr(spec, key)]
        found.append(
            Holding(
                who=f"chat model of {', '.join(names)}",
                num_workers=spec.max_replicas * spec.num_stages,
                num_cpus=spec.cpus_per_replica / spec.num_stages,
                num_gpus=spec.gpus_per_replica / spec.num_stages,
                lower=" or ".join(f"models.{names[0]}.{key}" for key in keys),
            )
        )
    return found


def _trainers(config: Config) -> Holding:
    training = config.training
    return Holding(
        who="trainers of the search",
        num_workers=training.num_workers,
        num_cpus=training.num_cpus_per_worker,
        num_gpus=training.num_gpus_per_worker,
        lower="training.num_workers, training.num_cpus_per_worker or training.num_gpus_per_worker",
    )


def _screener(plan: ResourcePlan) -> list[Holding]:
    held = Holding(
        who="screener",
        num_workers=1,
        num_cpus=plan.screener_cpus,
        num_gpus=plan.screener_gpus,
        lower="screener.num_cpus or screener.num_gpus",
    )
    return [held] if held.cpus or held.gpus else []


def _tuning(config: Config) -> Holding:
    """With `min_workers` it starts with fewer than it would like."""
    recipe = config.tune or config.training
    return Holding(
        who="workers of the tuning",
        num_workers=recipe.min_workers or recipe.num_workers,
        num_cpus=recipe.num_cpus_per_worker,
        num_gpus=recipe.num_gpus_per_worker,
        lower="tune.num_workers, tune.num_cpus_per_worker or tune.num_gpus_per_worker",
    )


@dataclass(slots=True, kw_only=True)
class _Node:
    group: str
    cpus: float
    gpus: float

    def holds(self, worker: Holding) -> bool:
        return worker.num_cpus <= self.cpus + _CLOSE and worker.num_gpus <= self.gpus + _CLOSE

    def take(self, worker: Holding) -> None:
        self.cpus -= worker.num_cpus
        self.gpus -= worker.num_gpus


def _placed(phase: str, holdings: Sequence[Holding], cluster: DescribedCluster) -> Phase:
    """The phase with its workers on nodes: the largest first, each where it leaves the fewest GPUs and CPUs free."""
    nodes = [
        _Node(group=group.name, cpus=group.num_cpus, gpus=group.num_gpus)
        for group in cluster.groups
        for _ in range(group.num_nodes)
    ]
    _require_possible(phase, holdings, cluster, nodes)
    on: dict[int, Counter[str]] = {}
    for number in sorted(range(len(holdings)), key=lambda n: (-holdings[n].num_gpus, -holdings[n].num_cpus)):
        worker, on[number] = holdings[number], Counter()
        for placed in range(worker.num_workers):
            free = [node for node in nodes if node.holds(worker)]
            if not free:
                raise InputError(
                    f"{phase}: {placed} of {worker.num_workers} {worker.who} find their place on {cluster.source}; for "
                    f"{worker.num_cpus:g} CPUs and {worker.num_gpus:g} GPUs no single node has room beside the others: "
                    f"lower {worker.lower}"
                )
            node = min(free, key=lambda node: (node.gpus, node.cpus))
            node.take(worker)
            on[number][node.group] += 1
    return Phase(
        name=phase,
        holdings=tuple(held.model_copy(update={"nodes": dict(on[number])}) for number, held in enumerate(holdings)),
        free_cpus=round(sum(node.cpus for node in nodes), 6),
        free_gpus=round(sum(node.gpus for node in nodes), 6),
    )


def _require_possible(
    phase: str, holdings: Sequence[Holding], cluster: DescribedCluster, nodes: Sequence[_Node]
) -> None:
    """Raises: InputError for a worker that is larger than any node, or for more than there is in all."""
    for worker in holdings:
        if not any(node.holds(worker) for node in nodes):
            kinds = ", ".join(f"{group.name} {group.num_cpus:g} and {group.num_gpus:g}" for group in cluster.groups)
            raise InputError(
                f"{phase}: a worker of {worker.who} takes {worker.num_cpus:g} CPUs and {worker.num_gpus:g} GPUs of one "
                f"node, and no node of {cluster.source} has as much ({kinds}): lower {worker.lower}"
            )
    cpus, gpus = sum(held.cpus for held in holdings), sum(held.gpus for held in holdings)
    if cpus > cluster.num_cpus + _CLOSE or gpus > cluster.num_gpus + _CLOSE:
        shares = "; ".join(f"{held.who} {held.cpus:g} and {held.gpus:g}" for held in holdings)
        largest = max(holdings, key=lambda held: (held.gpus, held.cpus))
        raise InputError(
            f"{phase} holds {cpus:g} CPUs and {gpus:g} GPUs ({shares}), but {cluster.source} has at most "
            f"{cluster.num_cpus:g} and {cluster.num_gpus:g}: lower {largest.lower}"
        )
