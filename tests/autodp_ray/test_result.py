"""result.json keeps its key names, refuses what breaks the contract, and comes back as it was."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from autodp_ray.result import RoundResult, RowCounts, RunResult, Seconds, StrategyResult

_CONTRACT = [
    "status",
    "stop_reason",
    "claim",
    "best_strategy",
    "best_measured",
    "agent_choice",
    "best_score",
    "ci95",
    "test_score",
    "test_ci95",
    "baseline_score",
    "noise_floor",
    "rounds",
    "team_runs_requested",
    "team_runs_executed",
    "trainings_requested",
    "trainings_executed",
    "llm_calls_requested",
    "llm_calls_executed",
    "cache_hits",
    "rows",
    "seconds",
]


def _result() -> RunResult:
    failed = StrategyResult(strategy="generation", source="fallback", status="failed", error="timed out")
    scored = StrategyResult(
        strategy="cleaning", source="agent", status="scored", score=0.1, score_raw=-2.7, ci95=(0.05, 0.15), steps=24
    )
    return RunResult(
        status="done",
        claim="confirmed",
        best_strategy="cleaning",
        best_measured="cleaning",
        best_score=0.1,
        ci95=(0.05, 0.15),
        rounds=(RoundResult(number=1, strategies=(scored, failed)),),
        rows=RowCounts(in_=10, train=6, dropped={"near_duplicate": 2}),
        seconds=Seconds(total=12.5, phases={"training": 3.0}),
    )


def test_every_key_of_the_contract_is_there_from_the_first_moment() -> None:
    keys = json.loads(RunResult(status="running").to_json())
    assert set(_CONTRACT) <= set(keys)
    assert set(keys["seconds"]) == {"total", "startup", "search", "confirm", "apply", "phases"}
    assert keys["best_score"] is keys["ci95"] is keys["rows"]["out"] is None


def test_rows_read_are_written_under_the_key_in() -> None:
    rows = json.loads(_result().to_json())["rows"]
    assert rows["in"] == 10
    assert "in_" not in rows


def test_a_result_comes_back_from_json_as_it_was() -> None:
    assert RunResult.from_json(_result().to_json()) == _result()
    assert RunResult.model_validate(_result().model_dump(mode="json")) == _result()


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        RunResult.from_json('{"status": "done", "best_stratgey": "cleaning"}')


@pytest.mark.parametrize("claim", ["unconfirmed", "none"])
def test_without_a_confirmed_claim_only_none_may_be_recommended(claim: str) -> None:
    values = {"status": "done", "claim": claim, "best_measured": "cleaning"}
    assert RunResult.model_validate({**values, "best_strategy": "none"}).best_measured == "cleaning"
    with pytest.raises(ValidationError, match="best_strategy must be none"):
        RunResult.model_validate({**values, "best_strategy": "cleaning"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": math.nan},
        {"score": math.inf},
        {"score": 1e308},
        {"score_raw": -1e308},
        {"ci95": (0.2, 0.1)},
        {"ci95": (0.2, 1e308)},
        {"num_rows": -1},
        {"num_rows": 10**400},
        {"source": "by luck"},
    ],
)
def test_numbers_that_are_none_and_intervals_that_are_upside_down_are_refused(wrong: dict[str, object]) -> None:
    good = {"strategy": "cleaning", "source": "agent", "status": "scored", "score": 0.1}
    assert StrategyResult.model_validate(good).score == 0.1
    with pytest.raises(ValidationError):
        StrategyResult.model_validate({**good, **wrong})


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        _result().status = "failed"  # type: ignore[misc]


def test_a_notebook_shows_claim_and_strategies_and_no_markup_of_errors() -> None:
    shown = _result()._repr_html_()
    assert "claim: " in shown
    assert "<td>generation</td><td>–</td>" in shown
    odd = RunResult(status="failed", best_strategy="<script>")
    assert "<script>" not in odd._repr_html_()
