"""Evaluates strategies: their datasets, their trainings, their scores against the baseline.

A strategy that cannot be run is recorded as failed, with its own error and nothing else's score.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from actors.stored_dataset import StoredDataset
from autodp_ray.config import EvaluationConfig
from autodp_ray.evaluation import Scored, Scorer
from autodp_ray.processing import Processor
from autodp_ray.progress import Progress
from autodp_ray.search import Baseline, Evaluated
from autodp_ray.statistics import Interval, ItemScores, noise_floor, paired_interval, score
from autodp_ray.strategy import Strategy
from operators.errors import EndpointError, RunError

log = logging.getLogger(__name__)

CONFIRM_SEED_OFFSET = 1000
"""Confirming runs take seeds that no search run has used."""


@dataclass(slots=True)
class Requested:
    """What was asked for, found or not; what was done stands in the journal."""

    team_runs: int = 0
    trainings: int = 0
    failed_team_runs: int = 0
    """Of these, not had: the team that failed and those after it."""
    failed_trainings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The winner against the baseline on the test set, with fresh seeds."""

    interval: Interval


class StrategyEvaluator:
    """Scores strategies on one sample against one baseline."""

    def __init__(
        self,
        *,
        sample: StoredDataset,
        validation: StoredDataset,
        processor: Processor,
        scorer: Scorer,
        config: EvaluationConfig,
        progress: Progress,
    ) -> None:
        self._sample = sample
        self._validation = validation
        self._processor = processor
        self._scorer = scorer
        self._config = config
        self._progress = progress
        self.requested = Requested()
        self._baseline: list[ItemScores] = []

    def baseline(self) -> Baseline:
        """Train on the unprocessed sample with several seeds: r_0 is their mean."""
        self._baseline = [
            self._train(self._sample, self._validation, seed=self._config.seed + offset, label="none").items
            for offset in range(self._config.baseline_seeds)
        ]
        scores = [score(items) for items in self._baseline]
        return Baseline(score=sum(scores) / len(scores), noise_floor=noise_floor(scores))

    def evaluate(self, strategies: Sequence[Strategy]) -> list[Evaluated]:
        """One round's strategies: first their data, which share prefixes, then their trainings."""
        processed = [self._process(strategy) for strategy in strategies]
        return [
            Evaluated(strategy=strategy, error=found) if isinstance(found, str) else self._score(strategy, found)
            for strategy, found in zip(strategies, processed, strict=True)
        ]

    def confirm(self, strategy: Strategy, test: StoredDataset) -> Confirmed:
        """Train the strategy and the baseline with fresh seeds and score both on the test set."""
        dataset = self._dataset(strategy)
        seeds = [self._config.seed + CONFIRM_SEED_OFFSET + number for number in range(self._config.confirm_seeds)]
        candidate = [self._train(dataset, test, seed=seed, label=str(strategy)).items for seed in seeds]
        baseline = [self._train(self._sample, test, seed=seed, label="none").items for seed in seeds]
        return Confirmed(interval=self._interval(candidate, baseline))

    def _process(self, strategy: Strategy) -> StoredDataset | str:
        self.requested.team_runs += len(strategy)
        before = self._processor.num_delivered
        try:
            return self._dataset(strategy)
        except (EndpointError, RunError) as error:
            self.requested.failed_team_runs += len(strategy) - (self._processor.num_delivered - before)
            log.warning("strategy %s failed: %s", strategy, error)
            self._progress.note(f"  {strategy}: failed: {error}")
            return str(error)

    def _dataset(self, strategy: Strategy) -> StoredDataset:
        self._progress.phase("processing", strategy=str(strategy))
        return self._processor.process(self._sample, strategy, on_progress=self._progress.rows).dataset

    def _score(self, strategy: Strategy, dataset: StoredDataset) -> Evaluated:
        try:
            scored = self._train(dataset, self._validation, seed=self._config.seed, label=str(strategy))
        except (EndpointError, RunError) as error:
            log.warning("strategy %s failed: %s", strategy, error)
            self._progress.note(f"  {strategy}: failed: {error}")
            return Evaluated(strategy=strategy, error=str(error))
        interval = self._interval([scored.items], self._baseline)
        self._progress.note(
            f"  {strategy}: {interval.estimate:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] "
            f"on {scored.record.num_rows} rows"
        )
        return Evaluated(
            strategy=strategy,
            score=interval,
            score_raw=score(scored.items),
            num_steps=scored.record.num_steps,
            num_rows=scored.record.num_rows,
        )

    def _train(self, dataset: StoredDataset, evaluation: StoredDataset, *, seed: int, label: str) -> Scored:
        self._progress.phase("training", strategy=label)
        self.requested.trainings += 1
        try:
            scored = self._scorer.score(dataset, evaluation, seed=seed, label=label)
        except (EndpointError, RunError):
            self.requested.failed_trainings += 1
            raise
        self._progress.step()
        return scored

    def _interval(self, candidate: Sequence[ItemScores], baseline: Sequence[ItemScores]) -> Interval:
        return paired_interval(
            candidate, baseline, seed=self._config.seed, num_resamples=self._config.bootstrap_samples
        )
