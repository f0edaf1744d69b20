"""Evaluates strategies: their datasets, their trainings, their scores against the baseline.

The strategies of a round run side by side on a bounded number of workers; what they share is done once. A strategy that
cannot be run is recorded as failed, with its own error and nothing else's score.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from actors.data.stored_dataset import StoredDataset
from autodp_ray.config.run_config import EvaluationConfig
from autodp_ray.progress import Progress
from autodp_ray.scoring.training_scores import Scored, Training, TrainingScorer
from autodp_ray.search.confirmation import Sides
from autodp_ray.search.loop import Baseline, Evaluated
from autodp_ray.statistics import Interval, ItemScores, noise_floor, paired_interval, score
from autodp_ray.strategies.processing import Processor, StrategyRun
from autodp_ray.strategies.workers import Worker, run_all
from autodp_ray.strategy import NONE, Strategy
from autodp_ray.tracking.log_labels import lines_of_strategy
from operators.contract.errors import EndpointConfigError, EndpointError, RunError

log = logging.getLogger(__name__)

CONFIRM_SEED_OFFSET = 1000
"""Confirming runs take seeds that no search run has used."""


@dataclass(slots=True)
class Requested:
    """How much work was requested, whether the cache had it or not; the journal says what was executed."""

    team_runs: int = 0
    trainings: int = 0
    failed_team_runs: int = 0
    """How many of `team_runs` did not finish: the team that failed and those after it."""
    failed_trainings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A strategy against the baseline on the test set, with fresh seeds."""

    strategy: Strategy
    interval: Interval
    by_seed: Mapping[int, float]
    """The strategy's scores on the test set."""
    baseline_by_seed: Mapping[int, float]
    num_items: int
    """Items that they were measured on."""


class StrategyEvaluator:
    """Scores strategies on one sample against one baseline."""

    def __init__(
        self,
        *,
        sample: StoredDataset,
        validation: StoredDataset,
        processor: Processor,
        scorer: TrainingScorer,
        config: EvaluationConfig,
        progress: Progress,
        num_workers: int = 1,
        release: Callable[[], None] = lambda: None,
        shares: bool = True,
    ) -> None:
        self._sample = sample
        self._validation = validation
        self._processor = processor
        self._scorer = scorer
        self._config = config
        self._progress = progress
        self._num_workers = num_workers
        self._release = release
        self._shares = shares
        self._num_rounds = 0
        self._requests: dict[Strategy, str] = {}
        self.requested = Requested()
        self._counting = threading.Lock()
        self._baseline: list[ItemScores] = []

    def baseline(self) -> Baseline:
        """Train on the unprocessed sample with several seeds: r_0 is their mean."""
        seeds = [self._config.seed + offset for offset in range(self._config.baseline_seeds)]
        self._baseline = self._train_all([(self._sample, seed, NONE) for seed in seeds], self._validation)
        scores = [score(items) for items in self._baseline]
        return Baseline(
            score=sum(scores) / len(scores),
            noise_floor=noise_floor(scores),
            by_seed=dict(zip(seeds, scores, strict=True)),
            items=tuple(self._baseline),
        )

    def evaluate(self, strategies: Sequence[Strategy]) -> list[Evaluated]:
        """One round's strategies, in their order, whatever order they finish in."""
        self._processor.new_round()
        self._num_rounds += 1
        self._requests.update({strategy: f"round {self._num_rounds}: {strategy}" for strategy in strategies})
        self._progress.phase("scoring the round")
        tasks = [partial(self._evaluate, strategy) for strategy in strategies]
        evaluated = run_all(tasks, num_workers=self._num_workers)
        self._release()
        return evaluated

    def evaluate_again(self, evaluated: Sequence[Evaluated]) -> list[Evaluated]:
        """Train scored strategies from one more seed each; their scores are then the means over their seeds."""
        self._progress.phase("scoring the leaders again")
        return run_all([partial(self._again, one) for one in evaluated], num_workers=self._num_workers)

    def _again(self, before: Evaluated, worker: Worker) -> Evaluated:
        strategy, seed = before.strategy, self._config.seed + len(before.items)
        try:
            dataset = self._processed(strategy)
            if self._is_unprocessed(dataset):
                return before
            training = self._training(dataset, self._validation, seed=seed, strategy=strategy)
            scored = self._score(training, self._config.seed, strategy, worker)
        except EndpointConfigError:
            raise
        except (EndpointError, RunError) as error:
            worker.require_wanted()
            log.warning("strategy %s failed from another seed: %s", strategy, error)
            return Evaluated(strategy=strategy, error=str(error))
        finally:
            self._progress.finished(str(strategy))
        items = (*before.items, scored.items)
        interval = self.interval(items, self._baseline)
        low, high = interval.ci95
        self._progress.note(f"  {strategy} from {len(items)} seeds: {interval.estimate:+.4f} [{low:+.4f}, {high:+.4f}]")
        raw = sum(score(each) for each in items) / len(items)
        return replace(before, score=interval, score_raw=raw, items=items)

    def confirm(self, strategy: Strategy, test: StoredDataset) -> Confirmed:
        """Train the strategy and the baseline with fresh seeds, as many as decide, and score both on the test set."""
        dataset = self._processed(strategy)

        def train(num_candidate: int, num_baseline: int) -> Sides:
            trainings = [(dataset, seed, strategy) for seed in self.fresh_seeds(num_candidate)]
            trainings += [(self._sample, seed, NONE) for seed in self.fresh_seeds(num_baseline)]
            items = self._train_all(trainings, test)
            return items[:num_candidate], items[num_candidate:]

        decided = self._config.confirmation.decide(
            train, seed=self._config.seed, num_resamples=self._config.bootstrap_samples
        )
        return Confirmed(
            strategy=strategy,
            interval=decided.interval,
            by_seed=self._by_fresh_seed(decided.candidate),
            baseline_by_seed=self._by_fresh_seed(decided.baseline),
            num_items=len(decided.baseline[0].ids),
        )

    def _by_fresh_seed(self, trainings: Sequence[ItemScores]) -> dict[int, float]:
        return dict(zip(self.fresh_seeds(len(trainings)), map(score, trainings), strict=True))

    def fresh_seeds(self, num: int) -> list[int]:
        """The first of the seeds that no search run has used."""
        return [self._config.seed + CONFIRM_SEED_OFFSET + number for number in range(num)]

    def trained(
        self, strategies: Sequence[Strategy], held_out: StoredDataset, *, seeds: Sequence[int]
    ) -> list[list[ItemScores]]:
        """For each strategy one training per seed, scored on the given rows.

        Raises: EndpointError or RunError where a team could not be run or a training failed.
        """
        datasets = [self._processed(strategy) for strategy in strategies]
        trainings = [(data, seed, one) for data, one in zip(datasets, strategies, strict=True) for seed in seeds]
        items = self._train_all(trainings, held_out)
        return [items[at : at + len(seeds)] for at in range(0, len(items), len(seeds))]

    def _processed(self, strategy: Strategy) -> StoredDataset:
        if not strategy:
            return self._sample
        self._progress.phase("processing", strategy=str(strategy))
        return self._processor.process(self._sample, strategy, self._strategy_run(strategy)).dataset

    def _evaluate(self, strategy: Strategy, worker: Worker) -> Evaluated:
        with lines_of_strategy(str(strategy)):
            return self._evaluated(strategy, worker)

    def _evaluated(self, strategy: Strategy, worker: Worker) -> Evaluated:
        try:
            dataset = self._process(strategy, worker)
            if self._is_unprocessed(dataset):
                return self._scored_as_unprocessed(strategy)
            training = self._training(dataset, self._validation, seed=self._config.seed, strategy=strategy)
            scored = self._score(training, self._config.seed, strategy, worker)
        except EndpointConfigError:  # no other strategy could be run either
            raise
        except (EndpointError, RunError) as error:
            worker.require_wanted()
            log.warning("strategy %s failed: %s", strategy, error)
            self._progress.note(f"  {strategy}: failed: {error}")
            return Evaluated(strategy=strategy, error=str(error))
        finally:
            self._progress.finished(str(strategy))
        interval = self.interval([scored.items], self._baseline)
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
            items=(scored.items,),
        )

    def _is_unprocessed(self, dataset: StoredDataset) -> bool:
        """Whether the rows are those of the sample: then a difference would be that of the baseline's own seeds."""
        return dataset.content_hash == self._sample.content_hash

    def _scored_as_unprocessed(self, strategy: Strategy) -> Evaluated:
        self._progress.note(f"  {strategy}: leaves every row as it is, and so scores as no processing does")
        raw = sum(map(score, self._baseline)) / len(self._baseline)
        nothing = Interval(estimate=0.0, low=0.0, high=0.0)
        return Evaluated(strategy=strategy, score=nothing, score_raw=raw, items=tuple(self._baseline))

    def _process(self, strategy: Strategy, worker: Worker) -> StoredDataset:
        self._progress.phase("processing", strategy=str(strategy))
        run = self._strategy_run(strategy, worker)
        try:
            return self._processor.process(self._sample, strategy, run).dataset
        finally:
            with self._counting:
                self.requested.team_runs += len(strategy)
                self.requested.failed_team_runs += len(strategy) - run.num_done

    def _strategy_run(self, strategy: Strategy, worker: Worker | None = None) -> StrategyRun:
        run = StrategyRun(
            on_progress=partial(self._progress.rows, strategy=str(strategy)), request=self._request(strategy)
        )
        return run if worker is None else replace(run, release_worker=worker.released)

    def _request(self, strategy: Strategy) -> str:
        """What only this strategy's latest round finds again; empty where everything is shared."""
        return "" if self._shares else self._requests.get(strategy, str(strategy))

    def _train_all(
        self, trainings: Sequence[tuple[StoredDataset, int, Strategy]], held_out: StoredDataset
    ) -> list[ItemScores]:
        first = trainings[0][1]

        def train(dataset: StoredDataset, seed: int, strategy: Strategy, worker: Worker) -> ItemScores:
            training = self._training(dataset, held_out, seed=seed, strategy=strategy)
            return self._score(training, first, strategy, worker).items

        items = run_all([partial(train, *one) for one in trainings], num_workers=self._num_workers)
        for _, _, strategy in trainings:
            self._progress.finished(str(strategy))
        return items

    def _training(self, dataset: StoredDataset, held_out: StoredDataset, *, seed: int, strategy: Strategy) -> Training:
        request = self._request(strategy)
        return Training(dataset=dataset, held_out=held_out, seed=seed, label=str(strategy), request=request)

    def _score(self, training: Training, first: int, strategy: Strategy, worker: Worker) -> Scored:
        """A training and its scores; `first` is the seed of the baseline that it may be compared with."""
        self._progress.phase("training", strategy=str(strategy))
        baseline = self._training(self._sample, training.held_out, seed=first, strategy=NONE)
        with self._counting:
            self.requested.trainings += 1
        try:
            scored = self._scorer.score(
                *(replace(each, release_worker=worker.released) for each in (training, baseline))
            )
        except (EndpointError, RunError):
            with self._counting:
                self.requested.failed_trainings += 1
            raise
        self._progress.step()
        return scored

    def interval(self, candidate: Sequence[ItemScores], baseline: Sequence[ItemScores]) -> Interval:
        """How much better the candidate's trainings score than the baseline's."""
        return paired_interval(
            candidate, baseline, seed=self._config.seed, num_resamples=self._config.bootstrap_samples
        )
