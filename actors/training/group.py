"""The long-lived Ray Train run: workers that take trainings from a queue, one after the other.

What a job does wrong ends that job. Where ranks no longer agree, or a worker dies, Ray Train starts the group anew.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import uuid
from dataclasses import dataclass
from typing import Any, TypedDict

import pyarrow as pa
import ray
import ray.train
import ray.train.collective
import ray.train.torch
import torch
import transformers
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from actors.training.job import TrainJob, read_rows, row_free_message
from actors.training.process_group import local_process_group
from actors.training.queue import JobResult, TrainingQueue
from actors.training.recipe import TrainingRecipe
from actors.training.trainer import FineTuner
from operators.errors import RunError

logger = logging.getLogger(__name__)

MAX_GROUP_RESTARTS = 16
MAX_STARTS = 10
WORKER_ENVIRONMENT = {
    # Threads that spin at a barrier stand in each other's way as soon as another process wants a core.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupConfig:
    """What each worker of the group is told."""

    queue: ActorHandle[TrainingQueue]
    recipe: TrainingRecipe


def fit(config: GroupConfig, *, storage_path: str, name: str) -> None:
    """Runs the group until its queue is closed.

    Raises:
        ray.train.TrainingFailedError: the group died more often than Ray Train may restart it.
    """
    recipe = config.recipe
    resources = {"CPU": recipe.num_cpus_per_worker}
    if recipe.num_gpus_per_worker > 0:
        resources["GPU"] = recipe.num_gpus_per_worker
    inherited = {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    run_config: Any = RunConfig(  # Ray's stubs still name the class of Train v1
        name=name,
        storage_path=storage_path,
        failure_config=FailureConfig(max_failures=MAX_GROUP_RESTARTS, controller_failure_limit=MAX_STARTS),
        worker_runtime_env={"env_vars": WORKER_ENVIRONMENT | inherited},
    )
    on_one_machine = recipe.num_gpus_per_worker == 0 and len(ray.nodes()) == 1
    trainer_class: Any = DataParallelTrainer if on_one_machine else ray.train.torch.TorchTrainer
    trainer = trainer_class(
        serve_trainings,
        train_loop_config={"group": config, "meets_locally": on_one_machine},
        scaling_config=ScalingConfig(
            num_workers=(recipe.min_workers, recipe.num_workers) if recipe.min_workers else recipe.num_workers,
            use_gpu=recipe.num_gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=run_config,
    )
    trainer.fit()


class GroupSettings(TypedDict):
    """What Ray Train hands to each worker."""

    group: GroupConfig
    meets_locally: bool


def serve_trainings(settings: GroupSettings) -> None:
    """One worker's life: the same jobs in the same order as every other rank."""
    config = settings["group"]
    torch.set_num_threads(config.recipe.num_threads or math.ceil(config.recipe.num_cpus_per_worker))
    transformers.utils.logging.disable_progress_bar()
    context = ray.train.get_context()
    rank, num_ranks = context.get_world_rank(), context.get_world_size()
    group = uuid.uuid4().hex
    try:
        if rank == 0:
            ray.get(config.queue.open_group.remote(group))
        group = ray.train.collective.broadcast_from_rank_zero(group)
        if settings["meets_locally"]:
            with local_process_group(rank=rank, num_ranks=num_ranks, name=group):
                _take_jobs(config.queue, group, rank, num_ranks)
        else:
            _take_jobs(config.queue, group, rank, num_ranks)
    except RayActorError:
        logger.info("the queue of trainings is gone: rank %d ends", rank)


def _take_jobs(queue: ActorHandle[TrainingQueue], group: str, rank: int, num_ranks: int) -> None:
    tuner = FineTuner()
    for place in itertools.count():
        taken: ray.ObjectRef[TrainJob | None] = queue.take.remote(group, place)
        job = ray.get(taken)
        if job is None:
            return
        result = attempt(tuner, job)
        if not ray.get(queue.report.remote(group, place, rank, result, num_ranks=num_ranks)):
            raise RunError(f"the ranks fell apart; this one says: {result.failure}")


def attempt(tuner: FineTuner, job: TrainJob) -> JobResult:
    """The job's result; whatever it raises becomes a message without row text."""
    try:
        return JobResult(outcome=tuner.run(job))
    except Exception as error:
        return JobResult(failure=row_free_message(error, _tables(job)))


def _tables(job: TrainJob) -> list[pa.Table]:
    """What a message must not quote; files that cannot be read quote nothing."""
    tables = []
    for rows in (job.train, *job.evaluation.values()):
        try:
            tables.extend([] if rows is None else [read_rows(rows)])
        except (OSError, pa.ArrowInvalid) as error:
            logger.info("rows of a failed training cannot be read (%s)", type(error).__name__)
    return tables
