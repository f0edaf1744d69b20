"""Trainings on Ray Train without the price of a start for each: one run of Train that serves them all.

The driver's end of `queue` and `group`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable
from typing import cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError

from actors.cluster.metrics import TRAINING_SECONDS, TRAININGS
from actors.cluster.nodes import NODE_ID
from actors.models.source import ResolvedModel
from actors.training.group import fit, resources_of_worker
from actors.training.group_settings import GroupConfig
from actors.training.job import Advance, TrainJob, TrainOutcome
from actors.training.missing_workers import MissingWorkers
from actors.training.queue import JobResult, TrainingQueue
from actors.training.recipe import TrainingRecipe
from operators.contract.errors import DivergedError, RunError

logger = logging.getLogger(__name__)

MAX_DEATHS = 2
"""A training whose workers die this often has failed."""
MAX_RESIZES = 16
"""The same for a group that may change its size: each change restarts the workers."""
WATCH_S = 5.0
CLOSE_S = 30.0


def start_queue(*, max_deaths: int) -> ActorHandle[TrainingQueue]:
    """A queue on the driver's own node: it cannot be made anew, so it must not go with a node that others may lose."""
    here = ray.get_runtime_context().get_node_id()
    actor = ray.remote(num_cpus=0, label_selector={NODE_ID: here})(TrainingQueue)
    return cast("ActorHandle[TrainingQueue]", actor.remote(max_deaths=max_deaths))


class TrainingService:
    """Runs trainings one after the other on a group of workers that lives on; safe to call from many threads.

    The workers start with the first training, or with `warm_up`, while the driver does something else. `recipe` says
    what each of them may hold; jobs may bring other recipes with the same number of workers. While trainings wait for
    places for their workers, `note` is told what for; `on_advance` is told by a job's label how far it is.
    """

    def __init__(
        self,
        recipe: TrainingRecipe,
        *,
        storage_path: str,
        note: Callable[[str], None] = logger.info,
        on_advance: Callable[[str, Advance], None] | None = None,
    ) -> None:
        self._recipe = recipe
        self._on_advance = on_advance
        self._storage_path = storage_path
        self._missing = MissingWorkers(resources_of_worker(recipe), note=note)
        self._queue: ActorHandle[TrainingQueue] | None = None
        self._lock = threading.Lock()
        self._fit: threading.Thread | None = None
        self._closed = False

    def warm_up(self, model: ResolvedModel) -> None:
        """Have the workers start and load the model, without waiting for them."""
        self._ensure_group().run.remote(TrainJob(model=model, recipe=self._recipe, seed=0, train=None))

    def run(self, job: TrainJob) -> TrainOutcome:
        """The outcome of one training.

        Raises:
            RunError: the training failed, its workers died too often, or the service is closed.
            DivergedError: its loss is no number.
        """
        if job.recipe.num_workers != self._recipe.num_workers:
            raise RunError(
                f"the training wants {job.recipe.num_workers} workers, the service has {self._recipe.num_workers}"
            )
        name = uuid.uuid4().hex
        pending: ray.ObjectRef[JobResult] = self._ensure_group().run.remote(job, name)
        try:
            while not ray.wait([pending], timeout=WATCH_S)[0]:
                self._say_advance(self._ensure_group(), job, name)
                self._missing.look()
            result: JobResult = ray.get(pending)
        except RayError as error:
            raise RunError(f"the training service broke down ({type(error).__name__})") from error
        TRAININGS.add(1, "failed" if result.outcome is None else "done")
        if result.diverged:
            raise DivergedError(f"the training failed: {result.failure}")
        if result.outcome is None:
            raise RunError(f"the training failed: {result.failure}")
        for phase, seconds in result.outcome.seconds.items():
            TRAINING_SECONDS.add(seconds, phase)
        return result.outcome

    def close(self) -> None:
        """Ends the workers, after the training they are at, and the queue. May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._queue is None:
            return
        try:
            ray.get(self._queue.close.remote(), timeout=CLOSE_S)
        except RayError as error:
            logger.warning("the queue of trainings is gone, or does not answer (%s)", type(error).__name__)
        if self._fit is not None:
            self._fit.join(timeout=CLOSE_S)
            if self._fit.is_alive():
                logger.warning("a training still runs %d s after its service was closed; it ends with Ray", CLOSE_S)
        ray.kill(self._queue)

    def _say_advance(self, queue: ActorHandle[TrainingQueue], job: TrainJob, name: str) -> None:
        """What the queue knows; where it does not answer at once, the next time will do."""
        if self._on_advance is None:
            return
        asked: ray.ObjectRef[Advance | None] = queue.advance_of.remote(name)
        with contextlib.suppress(GetTimeoutError):
            advance = ray.get(asked, timeout=WATCH_S)
            if advance is not None:
                self._on_advance(job.label, advance)

    def _ensure_group(self) -> ActorHandle[TrainingQueue]:
        """The queue of a group that is there, or on its way.

        Raises: RunError where the service is closed.
        """
        with self._lock:
            if self._closed:
                raise RunError("the training service is closed")
            if self._queue is None:
                self._queue = start_queue(max_deaths=MAX_RESIZES if self._recipe.min_workers else MAX_DEATHS)
            if self._fit is None or not self._fit.is_alive():
                self._fit = threading.Thread(
                    target=self._run_group, args=(self._queue,), name="training-group", daemon=True
                )
                self._fit.start()
            return self._queue

    def _run_group(self, queue: ActorHandle[TrainingQueue]) -> None:
        """Runs the group to its end; where it ends badly, the jobs that wait are told."""
        name = f"trainings-{uuid.uuid4().hex[:8]}"
        try:
            fit(GroupConfig(queue=queue, recipe=self._recipe), storage_path=self._storage_path, name=name)
        except Exception as error:  # whatever it is, those who wait must hear of it
            logger.error("the workers of the training service cannot be kept alive (%s)", type(error).__name__)
            if not self._closed:
                cause = str(error).strip().splitlines()[:1]
                message = f"no training workers ({': '.join([type(error).__name__, *cause])}); see the logs of Ray"
                ray.get(queue.fail_all.remote(message))
