"""Scores trainings by their models' answers: which answers are compared, kept, and found again.

Training itself stands in training_scores.py. Answers are text made of rows, so they are kept in the cache alone; the
journal gets numbers.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

from actors.cache.cache_client import WaitingFn
from actors.data.stored_dataset import StoredDataset
from autodp_ray.journal import Journal, Payload
from autodp_ray.scoring.evaluators import AnswerEvaluator
from autodp_ray.scoring.training_scores import Scored, Scorer
from autodp_ray.statistics import ItemScores

EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a model is trained on; with a `request`, found by the same request alone."""

    dataset: StoredDataset
    seed: int
    request: str = ""


class AnswerScorer:
    """Trains, lets the model answer the held-out questions, and scores the answers. Safe to call from many threads."""

    def __init__(self, scorer: Scorer, evaluator: AnswerEvaluator, *, journal: Journal) -> None:
        self._scorer = scorer
        self._evaluator = evaluator
        self._journal = journal
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def score(
        self, training: Training, rival: Training, evaluation: StoredDataset, *, waiting: WaitingFn = nullcontext
    ) -> Scored:
        """The scores of a training's answers; a rival is the baseline that a judge compares them with.

        Raises: RunError where a training failed, EndpointError where the judge cannot be reached.
        """
        trained = self._trained(training, evaluation, waiting)

        def step() -> Payload:
            rows, started = evaluation.read(), time.monotonic()
            answers = self._answers(training, evaluation, waiting)
            rivals = self._answers(rival, evaluation, waiting) if self._evaluator.compares else ()
            scores = self._evaluator.score(rows, answers, rivals)
            items = scores.items
            return {
                "data": training.dataset.content_hash,
                "seed": training.seed,
                "counts": dict(scores.counts),
                "seconds": round(time.monotonic() - started, 3),
                "items": {"ids": items.ids, "numerators": items.numerators, "denominators": items.denominators},
            }

        if self._evaluator.compares:
            self._trained(rival, evaluation, waiting)
        key = self._key(training, rival, evaluation)
        with self._turn(key, waiting):
            event = self._journal.once(EVALUATION, key, step)
        items = event["items"]
        assert isinstance(items, dict)
        return replace(trained, items=ItemScores(**{name: tuple(values) for name, values in items.items()}))

    @contextmanager
    def _turn(self, key: str, waiting: WaitingFn) -> Iterator[None]:
        """Strategies that left the same rows have the same scores: one asks for them, the others wait."""
        lock = self._turns[key]
        if not lock.acquire(blocking=False):
            with waiting():
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _key(self, training: Training, rival: Training, evaluation: StoredDataset) -> str:
        compared = [training, rival] if self._evaluator.compares else [training]
        keys = [self._scorer.key(one.dataset, evaluation, seed=one.seed, request=one.request) for one in compared]
        return hashlib.sha256(json.dumps([*keys, self._evaluator.revision]).encode()).hexdigest()

    def _trained(self, training: Training, evaluation: StoredDataset, waiting: WaitingFn) -> Scored:
        return self._scorer.score(
            training.dataset, evaluation, seed=training.seed, request=training.request, waiting=waiting
        )

    def _answers(self, training: Training, evaluation: StoredDataset, waiting: WaitingFn) -> tuple[str, ...]:
        return self._scorer.answers(
            training.dataset, evaluation, seed=training.seed, request=training.request, waiting=waiting
        )
