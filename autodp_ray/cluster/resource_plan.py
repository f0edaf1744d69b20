"""Who holds what: chat models, trainers and a served screener keep their CPUs and GPUs for the whole run.

Operator workers come and go, but there must be room for the largest of them.

A replica or a worker group that can never be placed makes a run hang, so it is checked before anything starts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from actors.data.pool_config import PoolConfig, Workers
from autodp_ray.cluster.needed import needed_operators, needed_roles
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import Config
from autodp_ray.strategy import Team
from operators.contract.errors import InputError
from operators.contract.operator import Operator

log = logging.getLogger(__name__)


class ResourcePlan(BaseModel):
    """What a run holds at most at one time, per kind of worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training_cpus: float
    training_gpus: float
    llm_cpus: float
    llm_gpus: float
    screener_cpus: float
    """Of a served screener, as `screener_gpus`; one in the process of the rows takes nothing of its own."""
    screener_gpus: float
    operator_cpus: float
    """Of the largest operator worker; there must be room for at least one."""
    operator_gpus: float
    """Of the operator worker with the most GPUs, be it for gradients or for an operator's own model."""

    @property
    def cpus(self) -> float:
        return self.training_cpus + self.llm_cpus + self.screener_cpus + self.operator_cpus

    @property
    def gpus(self) -> float:
        return self.training_gpus + self.llm_gpus + self.screener_gpus + self.operator_gpus


def resource_plan(config: Config, applied: Sequence[Team] | None = None) -> ResourcePlan:
    """What a search asks for, by the needs of its operators; models behind endpoints of others take nothing here.

    Teams that are `applied` without a search need neither trainers nor the models of the search.
    """
    searches, training = applied is None, config.training
    teams = config.search.used_teams if applied is None else applied
    num_trainers = training.num_workers if searches else 0
    specs = set(needed_roles(config, teams, searches=searches).values())
    workers = [_worker_of(operator, config.pool) for operator in needed_operators(config, teams)]
    screener = config.screener
    is_served = screener.judges_rows and screener.reach == "served"
    return ResourcePlan(
        training_cpus=num_trainers * training.num_cpus_per_worker,
        training_gpus=num_trainers * training.num_gpus_per_worker,
        llm_cpus=sum(spec.held_cpus for spec in specs),
        llm_gpus=sum(spec.held_gpus for spec in specs),
        screener_cpus=screener.num_cpus if is_served else 0.0,
        screener_gpus=screener.num_gpus if is_served else 0.0,
        operator_cpus=max((worker.num_cpus for worker in workers), default=0.0),
        operator_gpus=max((worker.num_gpus for worker in workers), default=0.0),
    )


def _worker_of(operator: Operator, pool: PoolConfig) -> Workers:
    return pool.workers([operator.needs], num_parts=1, num_rows=pool.part_rows)


MAX_WORKERS = 6
"""As many as a round may have strategies."""


def num_workers(config: Config, cluster: Cluster) -> int:
    """How many strategies of a round are worked on at one time.

    By default one for each whole CPU that models and trainers leave free: two that share a CPU would be no faster, and
    might ask a model for the same row at the same moment. A cluster that has no room yet for what the run holds grows
    until it has, so what is alive now says nothing, and it is as many as a round may have.
    """
    if config.search.max_concurrency is not None:
        return config.search.max_concurrency
    plan = resource_plan(config)
    held = plan.cpus - plan.operator_cpus
    free = int(cluster.num_cpus - held)
    must_grow = cluster.may_grow and not _has_room(plan, cluster)
    wanted = MAX_WORKERS if must_grow else max(1, min(MAX_WORKERS, free))
    log.info(
        "%d strategies at one time (%g CPUs alive, models and trainers hold %g); search.max_concurrency sets it",
        wanted,
        cluster.num_cpus,
        held,
    )
    return wanted


def require_room(config: Config, cluster: Cluster, applied: Sequence[Team] | None = None) -> None:
    """Raises: InputError where the run can never be placed. A cluster with an autoscaler may still grow."""
    lack = lack_of_room(config, cluster, applied)
    if lack is not None and not cluster.may_grow:
        raise InputError(lack if cluster.is_own else f"{lack}, or start the nodes that are missing first")


def lack_of_room(config: Config, cluster: Cluster, applied: Sequence[Team] | None = None) -> str | None:
    """What the run holds and the cluster has not, as it is now, and what to lower; None where there is room."""
    plan = resource_plan(config, applied)
    if _has_room(plan, cluster):
        return None
    place = "this machine" if cluster.is_own else "the cluster"
    return (
        f"the run holds {plan.cpus:g} CPUs and {plan.gpus:g} GPUs (chat models {plan.llm_cpus:g} and "
        f"{plan.llm_gpus:g}, training {plan.training_cpus:g} and {plan.training_gpus:g}, screener "
        f"{plan.screener_cpus:g} and {plan.screener_gpus:g}, one operator worker {plan.operator_cpus:g} and "
        f"{plan.operator_gpus:g}), but {place} has {cluster.num_cpus:g} and "
        f"{cluster.num_gpus:g}: lower num_cpus of models.agent, models.operators and models.judge, "
        "training.num_cpus_per_worker, screener.num_cpus or pool.num_cpus_per_worker, or leave out the operator that "
        "needs so much"
    )


def _has_room(plan: ResourcePlan, cluster: Cluster) -> bool:
    return plan.cpus <= cluster.num_cpus and plan.gpus <= cluster.num_gpus
