"""What a run did itself, read off its journal: team runs, trainings, model calls, tokens, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autodp_ray.clock import RunClock
from autodp_ray.evaluators.judge import VERDICTS, abstained_frac
from autodp_ray.journal import Journal
from autodp_ray.scoring.answer_scores import EVALUATION
from autodp_ray.scoring.training_scores import TRAINING
from autodp_ray.search.journaled import PROPOSAL
from autodp_ray.search.stop_rules.base import Spent
from autodp_ray.strategies.processing import TEAM_RUN

ATTEMPT = "attempt"
"""The event that a driver leaves when it starts or resumes a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Work that this run executed; what it read from the cache is not among it."""

    team_runs_executed: int
    trainings_executed: int
    llm_calls_requested: int
    llm_calls_executed: int
    llm_tokens: int
    abstained_frac: float | None = None
    """The share of a judge's replies that name no winner."""
    agent_tokens: int = 0
    """Of proposals; the other figures of models are of those that read rows."""


def count_spending(journal: Journal) -> Spending:
    """The sums over the journal's events."""
    team_runs = [event.payload for event in journal if event.name == TEAM_RUN and event.payload["executed"]]
    evaluations = [event.payload["counts"] for event in journal if event.name == EVALUATION]
    counts = [*(payload["counts"] for payload in team_runs), *evaluations]
    verdicts = {name: _total(evaluations, name) for name in VERDICTS}
    return Spending(
        team_runs_executed=len(team_runs),
        trainings_executed=sum(bool(event.payload["executed"]) for event in journal if event.name == TRAINING),
        llm_calls_requested=_total(counts, "llm_calls_requested"),
        llm_calls_executed=_total(counts, "llm_calls_executed"),
        llm_tokens=_total(counts, "llm_prompt_tokens") + _total(counts, "llm_completion_tokens"),
        abstained_frac=abstained_frac(verdicts),
        agent_tokens=_total([event.payload for event in journal if event.name == PROPOSAL], "tokens"),
    )


def earlier_seconds(journal: Journal) -> float:
    """Wall seconds of the attempts before this one, each from its start to the last event that it left."""
    seconds, started, last = 0.0, None, None
    for event in journal:
        if event.name == ATTEMPT:
            if started is not None and last is not None:
                seconds += max(0.0, (last - started).total_seconds())
            started = event.at
        last = event.at
    return seconds


def spent_so_far(journal: Journal, clock: RunClock) -> Spent:
    """What counts against the budget; `clock` runs since this attempt began."""
    spending = count_spending(journal)
    return Spent(
        seconds=earlier_seconds(journal) + clock.total,
        tokens=spending.llm_tokens + spending.agent_tokens,
        trainings=spending.trainings_executed,
    )


def _total(counts: Sequence[object], name: str) -> int:
    return sum(int(each.get(name, 0)) for each in counts if isinstance(each, dict))
