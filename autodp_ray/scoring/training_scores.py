"""R(f) = Eval(FT(W_pre, f(D_s)), D_val): one training and its scores, done once per score key.

Knows keys, the cache and the journal; the training itself is a function that it is given.
Source: LLM-AutoDP, Eq. 2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from actors.cache.cache_client import ReleaseWorker, StrategyCacheClient
from actors.data.stored_dataset import StoredDataset
from actors.models.source import ResolvedModel
from actors.training.job import ANSWER_VERSION, TrainJob, TrainOutcome
from actors.training.recipe import TrainingRecipe
from autodp_ray.cached_step import CachedStep, Steps, cached_outcome
from autodp_ray.journal import Journal, Payload
from autodp_ray.keys import private_key, score_key
from autodp_ray.statistics import ItemScores
from operators.contract.errors import DivergedError, RunError

TRAINING = "training"

TrainFn = Callable[[TrainJob], TrainOutcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training: on what, from which seed, and on which rows it is scored."""

    dataset: StoredDataset
    held_out: StoredDataset
    seed: int
    label: str = ""
    """The strategy, for those who watch."""
    request: str = ""
    """Set, the same request of this run alone finds it again."""
    release_worker: ReleaseWorker = nullcontext
    """Entered while somebody else's work on the same training is waited for."""


class TrainingRecord(BaseModel):
    """What is kept of a training: per-item scores and what it took. Plain data, without row text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    ids: tuple[str, ...]
    numerators: tuple[float, ...]
    denominators: tuple[float, ...]
    num_rows: int
    num_steps: int
    left_out: Mapping[str, int]
    num_truncated: int
    seconds: Mapping[str, float]
    answers: tuple[str, ...] | None = None
    """What the model answers to the held-out questions; text of rows, so it stays out of the journal."""

    def items(self) -> ItemScores:
        return ItemScores(ids=self.ids, numerators=self.numerators, denominators=self.denominators)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Per-item scores of one training, computed by this run or found."""

    record: TrainingRecord
    executed: bool
    items: ItemScores
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the scoring of answers counted."""


class TrainingScorer(Protocol):
    """Trains a model and scores it on held-out rows. Safe to call from many threads."""

    def score(self, training: Training, baseline: Training) -> Scored:
        """The scores of a training; a scorer that compares holds them against the baseline's.

        Raises: RunError where a training failed, EndpointError where a model cannot be reached.
        """


class Scorer:
    """Trains on a dataset and scores the model on held-out rows. Safe to call from many threads."""

    def __init__(
        self,
        *,
        run_id: str,
        train: TrainFn,
        model: ResolvedModel,
        recipe: TrainingRecipe,
        cache: StrategyCacheClient,
        journal: Journal,
        max_answer_tokens: int | None = None,
    ) -> None:
        self._run_id = run_id
        self._train = train
        self._model = model
        self._recipe = recipe
        self._cache = cache
        self._steps = Steps(TRAINING, journal=journal)
        self._max_answer_tokens = max_answer_tokens

    def score(self, training: Training, baseline: Training | None = None) -> Scored:
        """The losses on the held-out rows after a training; the baseline's are not looked at.

        Raises: RunError where the training failed, or its data is damaged or has no complete row.
        """
        step = CachedStep(
            key=self.key(training),
            obtain=lambda: self._found_or_trained(training),
            describe=lambda record: self._event(training, record),
            release_worker=training.release_worker,
        )
        record = TrainingRecord.model_validate(self._steps.payload(step)["record"])
        return Scored(record=record, executed=record.run_id == self._run_id, items=record.items())

    def answers(self, training: Training) -> tuple[str, ...]:
        """What the trained model answers, in the order of the held-out rows; trained again where the cache lost it."""
        record = self._found_or_trained(training)
        assert record.answers is not None, "the scorer was not told to ask for answers"
        said = dict(zip(record.ids, record.answers, strict=True))
        return tuple(said[row_id] for row_id in training.held_out.read(["id"])["id"].to_pylist())

    def knows(self, training: Training) -> bool:
        """Whether the scores are there already, so that nothing would be trained for them."""
        key = self.key(training)
        return self._steps.knows(key) or self._cache.has_outcome(key)

    def key(self, training: Training) -> str:
        """What the training is found by; with a `request`, by the same request of this run alone."""
        key = score_key(
            content_hash=training.dataset.content_hash,
            evaluation_hash=training.held_out.content_hash,
            recipe_fingerprint=self._recipe.fingerprint(),
            model_revision=self._model.revision,
            evaluator=_evaluator(self._max_answer_tokens),
            seed=training.seed,
        )
        return private_key(key, training.request, run_id=self._run_id)

    def _found_or_trained(self, training: Training) -> TrainingRecord:
        return cached_outcome(
            self._cache,
            self.key(training),
            lambda: self._record(training),
            kind=TrainingRecord,
            release_worker=training.release_worker,
        )

    def _event(self, training: Training, record: TrainingRecord) -> Payload:
        return {
            "data": training.dataset.content_hash,
            "seed": training.seed,
            "executed": record.run_id == self._run_id,
            "record": json.loads(record.model_dump_json(exclude={"answers"})),
        }

    def _record(self, training: Training) -> TrainingRecord:
        outcome = self._train(
            TrainJob(
                model=self._model,
                recipe=self._recipe,
                seed=training.seed,
                train=self._cache.rows(training.dataset),
                evaluation={"held_out": self._cache.rows(training.held_out)},
                max_answer_tokens=self._max_answer_tokens,
                label=training.label,
            )
        )
        losses = outcome.evaluation["held_out"]
        if losses.left_out or not losses.ids:
            raise RunError(
                f"{sum(losses.left_out.values())} of {training.held_out.num_rows} held-out rows cannot be scored "
                f"({dict(losses.left_out)}); raise training.max_length where they are too long"
            )
        if not all(math.isfinite(nll) for nll in losses.nll_sums):
            rate = self._recipe.learning_rate
            raise DivergedError(
                f"the training diverged: a held-out loss is no number; learning_rate is {rate}, try a lower"
            )
        return TrainingRecord(
            run_id=self._run_id,
            ids=losses.ids,
            numerators=tuple(-nll for nll in losses.nll_sums),
            denominators=tuple(float(count) for count in losses.num_tokens),
            num_rows=outcome.num_rows,
            num_steps=outcome.num_steps,
            left_out=dict(outcome.left_out),
            num_truncated=outcome.num_truncated,
            seconds=dict(outcome.seconds),
            answers=outcome.answers.get("held_out"),
        )


def _evaluator(max_answer_tokens: int | None) -> str:
    """What a training's outcome holds beside losses."""
    return "loss" if max_answer_tokens is None else f"answers v{ANSWER_VERSION} of {max_answer_tokens} tokens"
