"""Who holds what: chat models and trainers keep their CPUs and GPUs for the whole run, operator workers come and go.

A replica or a worker group that can never be placed makes a run hang, so it is checked before anything starts.
"""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict

from actors.llm.engines.base import LLMSpec
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import Config
from autodp_ray.strategy import Team
from operators.contract.errors import InputError

log = logging.getLogger(__name__)


class ResourcePlan(BaseModel):
    """What a run holds at most at one time, per kind of worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training_cpus: float
    training_gpus: float
    llm_cpus: float
    llm_gpus: float
    operator_cpus: float
    """Of one operator worker; there must be room for at least one."""
    gradient_gpus: float
    """Of one worker that computes gradients; there must be room for at least one."""

    @property
    def cpus(self) -> float:
        return self.training_cpus + self.llm_cpus + self.operator_cpus

    @property
    def gpus(self) -> float:
        return self.training_gpus + self.llm_gpus + self.gradient_gpus


def resource_plan(config: Config) -> ResourcePlan:
    """What the config asks for; models behind endpoints of others take nothing here."""
    training = config.training
    models: list[LLMSpec] = [config.models.agent, config.models.operators]
    models += [config.models.reader(role) for role in config.evaluation.evaluator.roles]
    specs = set(models)
    return ResourcePlan(
        training_cpus=training.num_workers * training.num_cpus_per_worker,
        training_gpus=training.num_workers * training.num_gpus_per_worker,
        llm_cpus=sum(spec.held_cpus for spec in specs),
        operator_cpus=config.pool.num_cpus_per_worker,
        gradient_gpus=config.pool.num_gpus_per_gradient_worker if Team.SELECTION in config.search.teams else 0.0,
        llm_gpus=sum(spec.held_gpus for spec in specs),
    )


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
    free = int(cluster.num_cpus - plan.training_cpus - plan.llm_cpus)
    must_grow = not cluster.is_own and not _has_room(plan, cluster)
    wanted = MAX_WORKERS if must_grow else max(1, min(MAX_WORKERS, free))
    log.info(
        "%d strategies at one time (%g CPUs alive, models and trainers hold %g); search.max_concurrency sets it",
        wanted,
        cluster.num_cpus,
        plan.training_cpus + plan.llm_cpus,
    )
    return wanted


def require_room(config: Config, cluster: Cluster) -> None:
    """Raises: InputError where an own Ray can never place what the run holds. A cluster may still grow."""
    lack = lack_of_room(config, cluster)
    if cluster.is_own and lack is not None:
        raise InputError(lack)


def lack_of_room(config: Config, cluster: Cluster) -> str | None:
    """What the run holds and the cluster has not, as it is now, and what to lower; None where there is room."""
    plan = resource_plan(config)
    if _has_room(plan, cluster):
        return None
    place = "this machine" if cluster.is_own else "the cluster"
    return (
        f"the run holds {plan.cpus:g} CPUs and {plan.gpus:g} GPUs (chat models {plan.llm_cpus:g} and "
        f"{plan.llm_gpus:g}, training {plan.training_cpus:g} and {plan.training_gpus:g}, one operator worker "
        f"{plan.operator_cpus:g} and {plan.gradient_gpus:g}), but {place} has {cluster.num_cpus:g} and "
        f"{cluster.num_gpus:g}: lower num_cpus of models.agent, models.operators and models.judge, "
        "training.num_cpus_per_worker or pool.num_cpus_per_worker"
    )


def _has_room(plan: ResourcePlan, cluster: Cluster) -> bool:
    return plan.cpus <= cluster.num_cpus and plan.gpus <= cluster.num_gpus
