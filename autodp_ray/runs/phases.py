"""A whole run: prepare, start the services, score the baseline, search, confirm, report.

The phases are elsewhere; this module says in which order they come, what they share, and what a run that breaks off
leaves behind.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial

from autodp_ray.clock import RunClock
from autodp_ray.cluster.starting import said_while_nodes_come
from autodp_ray.config.run_config import Config
from autodp_ray.faults import as_run_error
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, prepare
from autodp_ray.progress import Progress
from autodp_ray.reporting.report import render_report
from autodp_ray.reporting.words import counted
from autodp_ray.result import RunResult, RunStatus
from autodp_ray.runs.evaluation import ConnectFn, EvaluationInputs
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.runs.recording import Recording
from autodp_ray.runs.result_assembly import Findings, assemble_result
from autodp_ray.runs.search_policy import search_policy
from autodp_ray.runs.services import Services
from autodp_ray.runs.test_reads import claim_of, note_test_read
from autodp_ray.sampling.search_sample import RowModels
from autodp_ray.search.journaled import JournaledPolicy, was_proposed
from autodp_ray.search.loop import Round, SearchOutcome, search
from autodp_ray.search.racing import race
from autodp_ray.search.stop_rules.base import StopInputs
from autodp_ray.search.winner import shortest_of_the_best
from autodp_ray.strategies.spending import ATTEMPT, spent_so_far
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from autodp_ray.tracking.log_labels import lines_of_run
from operators.contract.errors import AutoDPError, DivergedError, RunError

log = logging.getLogger(__name__)


def run_search(run: OpenRun, *, connect: ConnectFn, progress: Progress) -> RunResult:
    """Run or resume a search to its end and write result.json and report.html. Call it under the folder's lock.

    The data is prepared before `connect` is called, but for the embeddings of many rows: what is wrong with it is said
    at once, and then what is wrong with an endpoint, without any Ray.

    Raises: AutoDPError where the run fails; result.json then says `failed`, or `interrupted` after a signal.
    """
    recording = Recording.of(run, note=progress.note)
    one = _Run(run=run, connect=connect, progress=progress, journal=Journal(run.folder.storage), recording=recording)
    one.write("running")
    one.journal.append(ATTEMPT, {}, key=str(one.journal.count(ATTEMPT) + 1))
    with lines_of_run(run.folder.run_id), ExitStack() as services:
        try:
            one.phases(services)
        except KeyboardInterrupt:
            one.write("interrupted", error="stopped by a signal")
            raise
        except AutoDPError as error:
            one.fail(error)
            raise
        except Exception as error:
            failure = as_run_error(error)
            one.fail(failure)
            raise failure from None  # the error itself may quote a row, and whoever prints it prints its cause too
        return one.write("done", error=one.findings.unconfirmable)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run under way, and what it has found so far."""

    run: OpenRun
    connect: ConnectFn
    progress: Progress
    journal: Journal
    recording: Recording
    clock: RunClock = field(default_factory=RunClock)
    findings: Findings = field(default_factory=Findings)

    @property
    def config(self) -> Config:
        """The config, with the strategies of the command line as its policy."""
        return self.run.config.scoring(self.run.strategies)

    def write(self, status: RunStatus, *, error: str | None = None) -> RunResult:
        """Write result.json as far as it is known, the report of a run that is done, and tell them on."""
        result = assemble_result(
            self.run, status=status, error=error, findings=self.findings, journal=self.journal, clock=self.clock
        )
        self.run.folder.write_result(result)
        report = render_report(result) if status == "done" else None
        if report is not None:
            self.run.folder.write_report(report)
        self.recording.result(result, report=report)
        return result

    def fail(self, error: AutoDPError) -> None:
        """Leave `failed` behind; on a full disk not even that, and then the error is told all the same."""
        try:
            self.write("failed", error=str(error))
        except OSError as second:
            log.warning("result.json cannot be written (%s); it still says running", second.strerror)

    def phases(self, stack: ExitStack) -> None:
        """Everything up to the claim; what is started stays on the stack, so the result is written before it ends."""
        connected = cache(lambda: stack.enter_context(self.connect()))
        with self.clock.phase("prepare"), said_while_nodes_come(self.progress):
            prepared = prepare(
                self.config,
                run=self.run.folder.storage,
                journal=self.journal,
                progress=self.progress,
                models=RowModels.of(self.config, self.run.cache_storage, connect=connected),
            )
        self.findings.prepared = prepared
        inputs = EvaluationInputs(
            config=self.config,
            prepared=prepared,
            run=self.run.folder.storage,
            run_id=self.run.folder.run_id,
            cache=self.run.cache_storage,
            journal=self.journal,
            progress=self.progress,
        )
        self.progress.phase("starting")
        with self.clock.phase("startup"):
            evaluation = inputs.start(connected, stack)
        self.findings.nodes = connected().nodes
        evaluator, services = evaluation.evaluator, evaluation.services
        self.findings.requested = evaluator.requested
        self._baseline(evaluator)
        with self.clock.phase("search"), said_while_nodes_come(self.progress):
            outcome = self.findings.outcome = self._search(evaluator, services, prepared)
        self._confirm(evaluator, outcome, prepared)

    def _baseline(self, evaluator: StrategyEvaluator) -> None:
        self.progress.expect(_most_trainings(self.config))
        with self.clock.phase("baseline"):
            baseline = self.findings.baseline = evaluator.baseline()
        self.progress.note(
            f"no processing scores {baseline.score:.4f}; differences under {baseline.noise_floor:.4f} are noise"
        )

    def _search(self, evaluator: StrategyEvaluator, services: Services, prepared: Prepared) -> SearchOutcome:
        assert self.findings.baseline is not None
        inputs = StopInputs(
            spent=lambda: spent_so_far(self.journal, self.clock),
            has_begun=lambda number: was_proposed(self.journal, number),
        )
        policy = search_policy(self.config, language=prepared.language, chat=services.agent)
        on_ask = partial(self.progress.phase, self.config.search.policy.phase)
        outcome = search(
            JournaledPolicy(policy=policy, journal=self.journal, on_ask=on_ask),
            evaluate=evaluator.evaluate,
            baseline=self.findings.baseline,
            rules=[rule.build(inputs) for rule in self.config.stop_rules],
            on_round=self._on_round,
        )
        num_leaders = self.config.search.race_leaders
        return race(outcome, num_leaders=num_leaders, again=evaluator.evaluate_again, on_round=self._on_round)

    def _on_round(self, done: Round) -> None:
        self.findings.rounds.append(done)
        self.write("running")
        best = max((one for one in done.evaluated if one.score), key=lambda one: one.estimate, default=None)
        said = f"best {best.strategy} {best.estimate:+.4f}" if best is not None else "every strategy failed"
        tried = counted(len(done.evaluated), "strategy", "strategies")
        self.progress.note(f"round {done.number} ({done.source}): {tried}, {said}")

    def _confirm(self, evaluator: StrategyEvaluator, outcome: SearchOutcome, prepared: Prepared) -> None:
        best = outcome.best
        if best is None and outcome.failures:
            raise RunError(f"every strategy failed; the first with: {outcome.failures[0].error}")
        if best is None or best.estimate <= 0:
            return
        assert self.findings.baseline is not None
        config = self.config.evaluation
        chosen = shortest_of_the_best(
            best,
            outcome.eligible,
            baseline=self.findings.baseline.items,
            seed=config.seed,
            num_resamples=config.bootstrap_samples,
        ).strategy
        if chosen != best.strategy:
            self.progress.note(
                f"{chosen} is shorter and within one standard error of {best.strategy}, which scored best"
            )
        self.progress.note(f"confirming {chosen} on the test set")
        claim = claim_of(self.config, sample=prepared.sample, strategy=chosen)
        self.findings.test_reads = note_test_read(self.run.cache_storage, prepared.test, claim=claim)
        with self.clock.phase("confirm"):
            try:
                self.findings.confirmed = evaluator.confirm(chosen, prepared.test)
            except DivergedError as error:  # it would diverge again whenever the run is resumed
                self.findings.unconfirmable = f"{chosen} cannot be confirmed: {error}"
                self.progress.note(self.findings.unconfirmable)


def _most_trainings(config: Config) -> int:
    """The most trainings that a run can take."""
    evaluation = config.evaluation
    return evaluation.baseline_seeds + config.search.most_trainings + evaluation.confirmation.most_trainings
