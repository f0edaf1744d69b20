"""What a run spent, read off its journal, and when that is too much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.storage.storage import Storage
from autodp_ray.clock import RunClock
from autodp_ray.journal import Journal
from autodp_ray.search.journaled import PROPOSAL, was_proposed
from autodp_ray.search.proposal import Feedback, RoundScores, StopRule
from autodp_ray.search.stop_rules.base import StopInputs
from autodp_ray.search.stop_rules.budget import BudgetConfig
from autodp_ray.strategies.spending import ATTEMPT, Spending, count_spending, earlier_seconds, spent_so_far

COUNTS = {
    "llm_calls_requested": 10,
    "llm_calls_executed": 6,
    "llm_prompt_tokens": 300,
    "llm_completion_tokens": 50,
    "dropped:short": 7,
}


class StoppedClock(RunClock):
    """A clock that says what it is told."""

    def __init__(self, total: float) -> None:
        super().__init__()
        self._total = total

    @property
    def total(self) -> float:
        return self._total


def team_run(journal: Journal, key: str, *, executed: bool = True, name: str = "team_run") -> None:
    journal.append(name, {"executed": executed, "counts": COUNTS}, key=key)


def training(journal: Journal, key: str, *, executed: bool = True) -> None:
    journal.append("training", {"executed": executed}, key=key)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Storage.at(tmp_path))


def test_an_empty_journal_has_spent_nothing(journal: Journal) -> None:
    assert count_spending(journal) == Spending(
        team_runs_executed=0, trainings_executed=0, llm_calls_requested=0, llm_calls_executed=0, llm_tokens=0
    )


def test_only_work_that_this_run_did_itself_is_counted(journal: Journal) -> None:
    team_run(journal, "a")
    team_run(journal, "b", executed=False)
    team_run(journal, "c", name="apply_team_run")
    training(journal, "d")
    training(journal, "e", executed=False)
    journal.append("proposal", {"strategies": []})
    journal.append("evaluation", {"counts": {"judge_wins": 3, "judge_abstentions": 1}})
    assert count_spending(journal) == Spending(
        team_runs_executed=1,
        trainings_executed=1,
        llm_calls_requested=10,
        llm_calls_executed=6,
        llm_tokens=350,
        abstained_frac=0.25,
    )


def budget_of(journal: Journal, seconds_used: float = 10.0, **limits: float) -> StopRule:
    inputs = StopInputs(
        spent=lambda: spent_so_far(journal, StoppedClock(seconds_used)),
        has_begun=lambda number: was_proposed(journal, number),
    )
    return BudgetConfig.model_validate(limits).build(inputs)


def before_round(number: int) -> Feedback:
    return Feedback(rounds=tuple(RoundScores(round=done, results=()) for done in range(1, number)))


def is_left(journal: Journal, seconds_used: float = 10.0, **limits: float) -> bool:
    return budget_of(journal, seconds_used, **limits).reason(before_round(1)) is None


def test_without_limits_there_is_always_budget_left(journal: Journal) -> None:
    for number in range(50):
        training(journal, str(number))
    assert is_left(journal, 1e9)


def test_each_limit_ends_the_search_when_it_is_reached(journal: Journal) -> None:
    team_run(journal, "a")
    training(journal, "b")
    training(journal, "c")
    assert (is_left(journal, seconds=10.5), is_left(journal, seconds=10)) == (True, False)
    assert (is_left(journal, tokens=351), is_left(journal, tokens=350)) == (True, False)
    journal.append("proposal", {"strategies": [], "tokens": 40})
    assert (is_left(journal, tokens=391), is_left(journal, tokens=390)) == (True, False)
    assert (is_left(journal, trainings=3), is_left(journal, trainings=2)) == (True, False)


def test_the_first_limit_that_is_reached_decides(journal: Journal) -> None:
    training(journal, "a")
    assert not is_left(journal, seconds=1e6, tokens=10**9, trainings=1)


def test_spending_is_asked_for_anew_each_time(journal: Journal) -> None:
    budget = budget_of(journal, trainings=1)
    assert budget.reason(before_round(1)) is None
    training(journal, "a")
    reason = budget.reason(before_round(1))
    assert reason is not None
    assert reason.name == "budget"


class Calendar:
    """A wall clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def test_seconds_of_earlier_attempts_count_and_the_pauses_between_them_do_not(tmp_path: Path) -> None:
    calendar = Calendar()
    for working in (100, 50, 7):
        journal = Journal(Storage.at(tmp_path), now=calendar)
        journal.append(ATTEMPT, {})
        calendar.wait(working / 2)
        training(journal, f"first-{working}")
        calendar.wait(working / 2)
        training(journal, f"second-{working}")
        calendar.wait(10_000)
    resumed = Journal(Storage.at(tmp_path))
    assert earlier_seconds(resumed) == 150
    assert (is_left(resumed, 20, seconds=171), is_left(resumed, 20, seconds=170)) == (True, False)


def test_an_attempt_that_left_nothing_and_a_clock_that_was_set_back_cost_nothing(tmp_path: Path) -> None:
    calendar = Calendar()
    journal = Journal(Storage.at(tmp_path), now=calendar)
    assert earlier_seconds(journal) == 0
    for _ in range(3):
        journal.append(ATTEMPT, {})
        calendar.wait(-60)
        training(journal, str(calendar.time))
    assert earlier_seconds(journal) == 0


def test_a_round_that_began_is_finished_after_a_resume_even_if_the_budget_is_used_up(journal: Journal) -> None:
    for number in range(6):
        training(journal, str(number))
    journal.append(PROPOSAL, {}, key="1")
    journal.append(PROPOSAL, {}, key="2")
    budget = budget_of(journal, trainings=5)
    assert [budget.reason(before_round(number)) is None for number in (1, 2, 3)] == [True, True, False]


def test_phases_add_up_on_the_clock() -> None:
    clock = RunClock()
    for _ in range(2):
        with clock.phase("search"):
            before = clock.phases.get("search", 0.0)
    assert clock.phases["search"] >= before
    with pytest.raises(ValueError, match="x"), clock.phase("confirm"):
        raise ValueError("x")
    assert set(clock.phases) == {"search", "confirm"}
    assert clock.total >= sum(clock.phases.values())
