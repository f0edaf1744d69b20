"""result.json from what a run has found so far; called at every round, so that a killed run leaves its last state."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.cluster.nodes import Node
from autodp_ray.clock import RunClock
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared
from autodp_ray.result import (
    EARLIER,
    ConfirmationScores,
    RoundResult,
    RowCounts,
    RunResult,
    RunStatus,
    Seconds,
    StrategyResult,
)
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.runs.provenance import git_commit, hardware, versions
from autodp_ray.runs.settings import flat, settings_of, shown_override
from autodp_ray.search.loop import Baseline, Evaluated, Round, SearchOutcome
from autodp_ray.statistics import Claim, confirmable_gain, decide_claim
from autodp_ray.strategies.spending import count_spending, earlier_seconds
from autodp_ray.strategies.strategy_evaluation import Confirmed, Requested
from autodp_ray.strategy import NONE
from operators.contract.redaction import redacted


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a run has found so far."""

    prepared: Prepared | None = None
    baseline: Baseline | None = None
    rounds: list[Round] = field(default_factory=list)
    outcome: SearchOutcome | None = None
    confirmed: Confirmed | None = None
    unconfirmable: str | None = None
    """Why a finished search has no test score though a strategy looked better."""
    test_reads: int | None = None
    requested: Requested = field(default_factory=Requested)
    nodes: tuple[Node, ...] | None = None
    """Of the cluster, once the run is connected."""


def assemble_result(
    run: OpenRun,
    *,
    status: RunStatus,
    error: str | None,
    findings: Findings,
    journal: Journal,
    clock: RunClock,
) -> RunResult:
    """The result as far as it is known; what does not apply yet is null."""
    spent = count_spending(journal)
    requested = findings.requested
    baseline, outcome, confirmed = findings.baseline, findings.outcome, findings.confirmed
    best = None if outcome is None else outcome.best
    claim = _claim(findings) if status == "done" else None
    return RunResult(
        status=status,
        stop_reason=None if outcome is None else outcome.stop_reason.name,
        error=error,
        claim=None if claim is None else claim.value,
        best_strategy=None
        if claim is None
        else str(confirmed.strategy if claim is Claim.CONFIRMED and confirmed else NONE),
        best_measured=None if best is None else str(best.strategy),
        agent_choice=None if outcome is None or outcome.agent_choice is None else str(outcome.agent_choice),
        best_score=None if best is None else best.estimate,
        ci95=None if best is None or best.score is None else best.score.ci95,
        tested=None if confirmed is None else str(confirmed.strategy),
        test_score=None if confirmed is None else confirmed.interval.estimate,
        test_ci95=None if confirmed is None else confirmed.interval.ci95,
        test_reads=findings.test_reads,
        baseline_score=None if baseline is None else baseline.score,
        noise_floor=None if baseline is None else baseline.noise_floor,
        baseline_by_seed={} if baseline is None else baseline.by_seed,
        validation_items=None if baseline is None else baseline.num_items,
        confirmation=None if confirmed is None else _confirmation(confirmed),
        abstained_frac=spent.abstained_frac,
        rounds=tuple(_round(each) for each in findings.rounds),
        team_runs_requested=requested.team_runs,
        team_runs_executed=spent.team_runs_executed,
        trainings_requested=requested.trainings,
        trainings_executed=spent.trainings_executed,
        llm_calls_requested=spent.llm_calls_requested,
        llm_calls_executed=spent.llm_calls_executed,
        cache_hits=max(0, requested.team_runs - requested.failed_team_runs - spent.team_runs_executed)
        + max(0, requested.trainings - requested.failed_trainings - spent.trainings_executed),
        rows=_rows(findings.prepared),
        seconds=_seconds(clock, earlier=earlier_seconds(journal)),
        evaluator=run.config.evaluation.evaluator.name,
        model=run.config.models.tuned.model,
        dataset=redacted(run.config.dataset.path),
        content_hash=None if findings.prepared is None else findings.prepared.content_hash,
        seeds=_seeds(run),
        recipe=dict(flat(run.config.training.in_use())),
        hardware=None if findings.nodes is None else hardware(findings.nodes),
        config_path=None if run.config_path is None else redacted(run.config_path),
        overrides=tuple(shown_override(each) for each in run.overrides),
        strategies=run.strategies,
        run_dir=run.folder.storage.shown,
        versions=versions(),
        git_commit=git_commit(),
    )


def _seeds(run: OpenRun) -> dict[str, int]:
    """The seeds of a run by section, without those of training a screener, which is a run of its own."""
    settings = dict(flat(settings_of(run.config, run.strategies)["config"]))
    named = {key.removesuffix(".seed"): value for key, value in settings.items() if key.endswith(".seed")}
    return {section: int(value) for section, value in named.items() if not section.startswith("screener.")}


def _confirmation(confirmed: Confirmed) -> ConfirmationScores:
    return ConfirmationScores(
        num_items=confirmed.num_items,
        candidate=confirmed.by_seed,
        baseline=confirmed.baseline_by_seed,
        detectable_gain=confirmable_gain(confirmed.interval.ci95, level=confirmed.interval.level),
    )


def _claim(findings: Findings) -> Claim:
    best = None if findings.outcome is None else findings.outcome.best
    return decide_claim(
        validation_score=None if best is None else best.estimate,
        test=None if findings.confirmed is None else findings.confirmed.interval,
    )


def _round(done: Round) -> RoundResult:
    strategies = tuple(_strategy(done, one) for one in done.evaluated)
    return RoundResult(number=done.number, strategies=strategies, notes=tuple(redacted(note) for note in done.notes))


def _strategy(done: Round, one: Evaluated) -> StrategyResult:
    return StrategyResult(
        strategy=str(one.strategy),
        score=None if one.score is None else one.score.estimate,
        score_raw=one.score_raw,
        ci95=None if one.score is None else one.score.ci95,
        source=done.source_of(one.strategy),
        status="scored" if one.score is not None else "failed",
        error=one.error,
        steps=one.num_steps,
        num_rows=one.num_rows,
    )


def _rows(prepared: Prepared | None) -> RowCounts:
    if prepared is None:
        return RowCounts()
    return RowCounts(
        in_=prepared.num_in,
        quarantined=prepared.num_quarantined,
        train=prepared.train.num_rows,
        guide=prepared.guide.num_rows,
        validation=prepared.validation.num_rows,
        test=prepared.test.num_rows,
        set_aside=prepared.num_set_aside,
        sampled=prepared.sample.num_rows,
        noisy=prepared.num_noisy,
    )


def _seconds(clock: RunClock, *, earlier: float) -> Seconds:
    return Seconds(
        total=earlier + clock.total,
        startup=clock.phases.get("startup"),
        search=clock.phases.get("search"),
        confirm=clock.phases.get("confirm"),
        phases=({EARLIER: earlier} if earlier else {}) | clock.phases,
    )
