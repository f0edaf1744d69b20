"""What a finished run says on the terminal: the claim, the recommended strategy, the report, the next command."""

from __future__ import annotations

from collections.abc import Iterator

from actors.storage.storage import Storage
from autodp_ray.reporting.words import (
    AGAIN,
    abstentions,
    command_line,
    counted,
    flattery,
    is_race,
    reproduction_commands,
    scored_of,
)
from autodp_ray.result import RunResult
from autodp_ray.run_contents import REPORT


def summary_lines(result: RunResult, location: str) -> Iterator[str]:
    """The summary, line by line."""
    if result.status != "done":
        yield f"the run is {result.status}: {result.error or 'no reason was recorded'}"
        yield f"next: {command_line('autodp', 'run', '--resume', location)}"
        return
    yield f"claim: {result.claim}"
    yield _recommendation(result)
    if result.best_measured is not None and result.best_score is not None:
        gain = _gain(result.best_score, result.ci95)
        yield f"best on validation: {result.best_measured}, {gain} over no processing ({flattery(result)})"
    if result.test_score is not None:
        tested = f"{result.tested}, " if result.tested not in (None, result.best_measured) else ""
        yield f"on the test set: {tested}{_gain(result.test_score, result.test_ci95)}"
    if result.error is not None:
        yield result.error
    if said := abstentions(result):
        yield said
    rounds = sum(not is_race(one) for one in result.rounds)
    yield (
        f"{counted(rounds, 'round', 'rounds')}, stopped by {result.stop_reason}; "
        f"team runs {result.team_runs_executed} of {result.team_runs_requested} executed, "
        f"trainings {result.trainings_executed} of {result.trainings_requested}, "
        f"model calls {result.llm_calls_executed} of {result.llm_calls_requested}"
    )
    if result.seconds.total is not None:
        phases = ", ".join(
            f"{name.replace('_', ' ')} {seconds:.0f} s" for name, seconds in result.seconds.phases.items()
        )
        yield f"{result.seconds.total:.0f} s in all: {phases}"
    yield f"report: {_report_in(location)}"
    yield f"next: {command_line('autodp', 'apply', location)}"
    yield from (f"again: {line}" for what, line in reproduction_commands(result) if what == AGAIN)


def _report_in(location: str) -> str:
    return f"{location}/{REPORT}" if "://" not in location else Storage.at(location).shown_uri(REPORT)


def _recommendation(result: RunResult) -> str:
    if result.claim == "confirmed":
        return f"recommended strategy: {result.best_strategy}"
    if result.claim == "none":
        reason = "nothing beat the baseline on validation" if scored_of(result) else "no strategy was scored"
    else:
        reason = "the test set did not confirm it"
    return f"recommended strategy: none ({reason})"


def _gain(score: float, interval: tuple[float, float] | None) -> str:
    return f"{score:+.4f}" if interval is None else f"{score:+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}]"
