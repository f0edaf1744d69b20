"""The last lines on the terminal: claim, recommendation, report, next command."""

from __future__ import annotations

import re

import pytest

from autodp_ray.reporting.report import render_report
from autodp_ray.reporting.summary import summary_lines
from autodp_ray.reporting.words import flattery, headline, verdict
from autodp_ray.result import RoundResult, RunResult, Seconds, StrategyResult

DONE = RunResult(
    status="done",
    stop_reason="agent_best",
    claim="confirmed",
    best_strategy="cleaning",
    best_measured="cleaning",
    best_score=0.0812,
    ci95=(0.05, 0.11),
    test_score=0.0744,
    test_ci95=(0.031, 0.12),
    rounds=(
        RoundResult(
            number=1,
            strategies=(
                StrategyResult(strategy="cleaning", source="agent", status="scored", score=0.0812),
                StrategyResult(strategy="generation", source="agent", status="scored", score=0.01),
            ),
        ),
        RoundResult(number=2),
    ),
    team_runs_requested=15,
    team_runs_executed=6,
    trainings_requested=14,
    trainings_executed=12,
    llm_calls_requested=40,
    llm_calls_executed=30,
    seconds=Seconds(total=128.4, phases={"search": 100.2, "confirm": 20.0}),
)


def lines(**changed: object) -> list[str]:
    return list(summary_lines(DONE.model_copy(update=changed), "runs/one"))


def test_a_confirmed_run_ends_with_its_strategy_report_and_next_command() -> None:
    assert lines() == [
        "claim: confirmed",
        "recommended strategy: cleaning",
        "best on validation: cleaning, +0.0812 [+0.0500, +0.1100] over no processing "
        "(flattered by choice: the highest of 2)",
        "on the test set: +0.0744 [+0.0310, +0.1200]",
        "2 rounds, stopped by agent_best; team runs 6 of 15 executed, trainings 12 of 14, model calls 30 of 40",
        "128 s in all: search 100 s, confirm 20 s",
        "report: runs/one/report.html",
        "next: autodp apply runs/one",
    ]


def test_a_resumed_run_says_how_long_its_earlier_attempts_took() -> None:
    seconds = Seconds(total=128.0, phases={"earlier_attempts": 100.0, "search": 20.0})
    assert "128 s in all: earlier attempts 100 s, search 20 s" in lines(seconds=seconds)
    assert "earlier attempts 1 min 40 s" in re.sub(
        r"<[^>]*>", "", render_report(DONE.model_copy(update={"seconds": seconds}))
    )


def test_an_unconfirmed_run_recommends_none_and_shows_what_was_measured() -> None:
    found = lines(claim="unconfirmed", best_strategy="none", test_score=-0.01, test_ci95=(-0.05, 0.03))
    assert found[:2] == ["claim: unconfirmed", "recommended strategy: none (the test set did not confirm it)"]
    assert found[2].startswith("best on validation: cleaning, +0.0812")
    assert found[3] == "on the test set: -0.0100 [-0.0500, +0.0300]"


def test_a_shorter_strategy_that_was_tested_instead_of_the_best_is_named() -> None:
    found = lines(best_measured="cleaning>generation", tested="cleaning")
    assert found[2].startswith("best on validation: cleaning>generation, +0.0812")
    assert found[3] == "on the test set: cleaning, +0.0744 [+0.0310, +0.1200]"


def test_a_run_where_nothing_won_says_so_and_has_no_test_line() -> None:
    found = lines(claim="none", best_strategy="none", best_score=-0.02, ci95=None, test_score=None, test_ci95=None)
    assert found[1] == "recommended strategy: none (nothing beat the baseline on validation)"
    assert found[2].startswith("best on validation: cleaning, -0.0200 over no processing (")
    assert not any("test set" in line for line in found)


def test_a_run_without_any_score_has_no_best_line() -> None:
    found = lines(claim="none", best_strategy="none", best_measured=None, best_score=None, test_score=None, rounds=())
    assert not any("best on validation" in line for line in found)


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_a_run_that_is_not_done_says_why_and_how_to_go_on(status: str) -> None:
    result = RunResult(status=status, error="the endpoint refused")
    assert list(summary_lines(result, "runs/one")) == [
        f"the run is {status}: the endpoint refused",
        "next: autodp run --resume runs/one",
    ]
    assert "no reason was recorded" in next(summary_lines(RunResult(status="failed"), "r"))


def test_a_run_whose_budget_allowed_no_round_says_that_nothing_was_scored() -> None:
    nothing = DONE.model_copy(
        update={"claim": "none", "best_strategy": "none", "best_measured": None, "best_score": None, "ci95": None}
        | {"test_score": None, "test_ci95": None, "rounds": (), "stop_reason": "budget"}
    )
    assert "recommended strategy: none (no strategy was scored)" in list(summary_lines(nothing, "runs/one"))
    assert headline(nothing) == "No strategy was scored."
    assert verdict(nothing).startswith("No strategy was scored: the budget was used up; the test rows were not read.")


def test_leaders_that_lose_from_a_second_seed_are_not_said_to_have_lost_at_first() -> None:
    first = DONE.rounds[0]
    second = [one.model_copy(update={"score": -0.01, "source": "race"}) for one in first.strategies]
    raced = DONE.model_copy(
        update={"claim": "none", "best_strategy": "none", "best_score": -0.01, "test_score": None, "test_ci95": None}
        | {"rounds": (first, RoundResult(number=2, strategies=tuple(second)))}
    )
    assert "no leader scored above the unprocessed data once it was trained from a second seed too" in verdict(raced)
    assert flattery(raced) == "flattered by choice: the highest of 2", "two strategies, of two trainings each"
    page = render_report(raced)
    assert "2 strategies: 2 proposed by the agent; 0 failed" in page
    assert page.count("<h3>Round ") == page.count("<h3>The leaders again") == 1
    assert any(line.startswith("1 round, stopped by") for line in summary_lines(raced, "runs/one"))


def test_a_judge_whose_replies_cannot_be_read_is_told_of() -> None:
    judged = DONE.model_copy(update={"evaluator": "judge", "abstained_frac": 0.975})
    said = "97.5 % of the judge's replies name no winner, which draws scores to zero"
    assert said in list(summary_lines(judged, "runs/one"))
    assert said.replace("'", "&#39;") in render_report(judged)
    assert "name no winner" not in render_report(judged.model_copy(update={"abstained_frac": 0.0}))
