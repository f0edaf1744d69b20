"""Scores trainings by their models' answers: which answers are compared, kept, and found again.

Training itself stands in training_scores.py. Answers are text made of rows, so they are kept in the cache alone; the
journal gets numbers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from autodp_ray.cached_step import CachedStep, Steps
from autodp_ray.evaluators.base import AnswerGrader
from autodp_ray.journal import Journal, Payload
from autodp_ray.scoring.training_scores import Scored, Scorer, Training
from autodp_ray.statistics import ItemScores
from operators.contract.digest import json_digest

EVALUATION = "evaluation"


class AnswerScorer:
    """Trains, lets the model answer the held-out questions, and scores the answers. Safe to call from many threads."""

    def __init__(self, scorer: Scorer, grader: AnswerGrader, *, journal: Journal) -> None:
        self._scorer = scorer
        self._grader = grader
        self._steps = Steps(EVALUATION, journal=journal)

    def score(self, training: Training, baseline: Training) -> Scored:
        """The scores of a training's answers, compared with the baseline's where the grader compares.

        Raises: RunError where a training failed, EndpointError where a model cannot be reached.
        """
        trained = self._scorer.score(training)
        compared = [training, baseline] if self._grader.compares else [training]
        for other in compared[1:]:
            self._scorer.score(other)
        keys = [self._scorer.key(each) for each in compared]
        key = json_digest([*keys, self._grader.revision])
        step = CachedStep(
            key=key,
            obtain=lambda: self._graded(compared),
            describe=lambda graded: graded,
            release_worker=training.release_worker,
        )
        graded = self._steps.payload(step)
        items, counts = graded["items"], graded["counts"]
        assert isinstance(items, dict)
        assert isinstance(counts, dict)
        scores = ItemScores(**{name: tuple(values) for name, values in items.items()})
        return replace(trained, items=scores, counts=counts)

    def _graded(self, compared: Sequence[Training]) -> Payload:
        """What the journal keeps of the answers of the first training, held against those of the others."""
        training = compared[0]
        rows, started = training.held_out.read(), time.monotonic()
        answers, *rivals = [self._scorer.answers(each) for each in compared]
        scores = self._grader.score(rows, answers, rivals[0] if rivals else ())
        items = scores.items
        return {
            "data": training.dataset.content_hash,
            "seed": training.seed,
            "counts": dict(scores.counts),
            "seconds": round(time.monotonic() - started, 3),
            "items": {"ids": items.ids, "numerators": items.numerators, "denominators": items.denominators},
        }
