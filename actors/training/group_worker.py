"""The life of one worker of a training group: the same jobs in the same order as every other rank.

What a job does wrong ends that job. Where ranks no longer agree, or a worker dies, Ray Train starts the group anew.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
import uuid

import pyarrow as pa
import ray
import ray.train
import ray.train.collective
import torch
import transformers
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from actors.training.group_settings import GroupSettings
from actors.training.job import Advance, OnAdvance, TrainJob, read_rows, row_free_message, unseen
from actors.training.process_group import local_process_group
from actors.training.queue import JobResult, TrainingQueue
from actors.training.trainer import FineTuner
from operators.contract.errors import DivergedError, RunError

SAID_EVERY_S = 2.0

logger = logging.getLogger(__name__)


def serve_trainings(settings: GroupSettings) -> None:
    """Takes jobs until there are none."""
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
        result = attempt(tuner, job, _told(queue, group, place) if rank == 0 else unseen)
        if not ray.get(queue.report.remote(group, place, rank, result, num_ranks=num_ranks)):
            raise RunError(f"the ranks fell apart; this one says: {result.failure}")


def _told(queue: ActorHandle[TrainingQueue], group: str, place: int) -> OnAdvance:
    """Tells the queue now and then how far the job is, and waits for no answer."""
    said = time.monotonic()

    def tell(advance: Advance) -> None:
        nonlocal said
        if time.monotonic() - said >= SAID_EVERY_S:
            said = time.monotonic()
            queue.advance.remote(group, place, advance)

    return tell


def attempt(tuner: FineTuner, job: TrainJob, on_advance: OnAdvance = unseen) -> JobResult:
    """The job's result; whatever it raises becomes a message without row text."""
    try:
        return JobResult(outcome=tuner.run(job, on_advance))
    except Exception as error:
        return JobResult(failure=row_free_message(error, _tables(job)), diverged=isinstance(error, DivergedError))


def _tables(job: TrainJob) -> list[pa.Table]:
    """What a message must not quote; files that cannot be read quote nothing."""
    tables = []
    for rows in (job.train, *job.evaluation.values()):
        try:
            tables.extend([] if rows is None else [read_rows(rows)])
        except (OSError, pa.ArrowInvalid) as error:
            logger.info("rows of a failed training cannot be read (%s)", type(error).__name__)
    return tables
