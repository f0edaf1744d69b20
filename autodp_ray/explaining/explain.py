"""Explains the strategy that a run tested: what each of its parts contributes on the test rows.

The strategy is trained without one part at a time, with the seeds of its own confirmation, and scored like it; what the
run's journal or the cache holds already is not done again. Test rows choose nothing here: the strategy stays the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

from actors.data.stored_dataset import StoredDataset
from autodp_ray.explaining.variants import Variant, variants_of
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import find_prepared
from autodp_ray.progress import Progress
from autodp_ray.reporting.explanation import Contribution, Explanation
from autodp_ray.reporting.report import render_report
from autodp_ray.result import RunResult
from autodp_ray.runs.evaluation import ConnectFn, EvaluationInputs
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.statistics import ItemScores
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from autodp_ray.strategy import NONE, Strategy
from operators.contract.errors import EndpointConfigError, EndpointError, InputError, RunError
from operators.contract.redaction import redacted

log = logging.getLogger(__name__)


def explain_run(run: OpenRun, *, num_seeds: int | None, connect: ConnectFn, progress: Progress) -> Explanation:
    """The explanation of a finished run, made or found; explain.json and the report have it. Call it under the lock.

    Raises: InputError where the run is not finished or tested no strategy.
    """
    result = run.folder.result()
    location = run.folder.storage.location
    if result is None or result.status != "done":
        raise InputError(f"{location} is not finished; go on with autodp run --resume {location}")
    if result.tested is None:
        why = result.error or "none beat the unprocessed data"
        raise InputError(f"{location} measured no strategy on test rows, since {why}: nothing is to explain")
    strategy = Strategy.from_text(result.tested)
    num_seeds = num_seeds or _num_confirming(run, result)
    found = run.folder.explanation()
    if found is not None and (found.strategy, found.num_seeds) == (result.tested, num_seeds):
        progress.note(f"{location} holds this explanation; delete explain.json to have it made again")
        return found
    explanation = _made(run, strategy, num_seeds=num_seeds, connect=connect, progress=progress)
    _keep(run, result, explanation)
    return explanation


def _num_confirming(run: OpenRun, result: RunResult) -> int:
    """How many trainings of the strategy confirmed it; earlier versions do not say it."""
    return len(result.confirmation.candidate) if result.confirmation else run.config.evaluation.confirm_seeds


def _keep(run: OpenRun, result: RunResult, explanation: Explanation) -> None:
    run.folder.write_explanation(explanation)
    run.folder.write_report(render_report(result, explanation))


def _made(run: OpenRun, strategy: Strategy, *, num_seeds: int, connect: ConnectFn, progress: Progress) -> Explanation:
    storage, journal = run.folder.storage, Journal(run.folder.storage)
    variants = variants_of(strategy, run.config)
    prepared = find_prepared(storage, journal)
    with ExitStack() as stack:
        inputs = EvaluationInputs(
            config=variants.config,
            prepared=prepared,
            run=storage,
            run_id=run.folder.run_id,
            cache=run.cache_storage,
            journal=journal,
            progress=progress,
        )
        evaluation = inputs.start(cache(lambda: stack.enter_context(connect())), stack)
        confirmation = run.config.evaluation.confirmation
        explainer = Explainer(
            evaluator=evaluation.evaluator,
            test=prepared.test,
            num_seeds=num_seeds,
            num_baseline_seeds=num_seeds + confirmation.baseline - confirmation.candidate,
            progress=progress,
        )
        return explainer.explain(strategy, variants.variants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Trains variants of a strategy and compares them with it."""

    evaluator: StrategyEvaluator
    test: StoredDataset
    num_seeds: int
    """Trainings of the strategy and of each variant."""
    num_baseline_seeds: int
    """Trainings on the unprocessed data, so that the strategy's gain is that of its confirmation."""
    progress: Progress

    def explain(self, strategy: Strategy, variants: Sequence[Variant]) -> Explanation:
        """What each variant lacks contributes to the strategy.

        Raises: EndpointError or RunError where the strategy itself cannot be trained any more.
        """
        seeds = self.evaluator.fresh_seeds(self.num_seeds)
        self.progress.expect(len(seeds) * (1 + len(variants)) + self.num_baseline_seeds)
        (whole,) = self.evaluator.trained([strategy], self.test, seeds=seeds)
        baseline_seeds = self.evaluator.fresh_seeds(self.num_baseline_seeds)
        (baseline,) = self.evaluator.trained([NONE], self.test, seeds=baseline_seeds)
        gain = self.evaluator.interval(whole, baseline)
        contributions = [self._contribution(variant, whole, seeds) for variant in variants]
        contributions.sort(key=lambda one: float("inf") if one.contribution is None else -one.contribution)
        return Explanation(
            strategy=str(strategy),
            gain=gain.estimate,
            ci95=gain.ci95,
            num_seeds=self.num_seeds,
            num_rows=self.test.num_rows,
            contributions=tuple(contributions),
        )

    def _contribution(self, variant: Variant, whole: Sequence[ItemScores], seeds: Sequence[int]) -> Contribution:
        """A variant that cannot be run is a result too, and ends no other's."""
        try:
            (without,) = self.evaluator.trained([variant.strategy], self.test, seeds=seeds)
        except EndpointConfigError:  # no other variant could be run either
            raise
        except (EndpointError, RunError) as error:
            log.warning("without %s the strategy failed: %s", variant.part.words, error)
            return Contribution(part=variant.part, error=redacted(str(error)))
        interval = self.evaluator.interval(whole, without)
        found = Contribution(
            part=variant.part,
            contribution=interval.estimate,
            ci95=interval.ci95,
            changes_nothing=list(without) == list(whole),  # the same rows, and so the same trainings
        )
        self.progress.note(f"  {variant.part.words}: {found.contribution:+.4f}, {found.verdict}")
        return found
