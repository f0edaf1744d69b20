"""The report of a run: one self-contained HTML file made from its result.

Knows the numbers and words of result.json and shows no row text. The look stands in templates/report.*.jinja.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from autodp_ray.reporting.explanation import Explanation
from autodp_ray.reporting.forest_plot import signed
from autodp_ray.reporting.words import (
    SOURCE_WORDS,
    STOP_WORDS,
    abstentions,
    axis_of,
    balance,
    count,
    duration,
    flattery,
    headline,
    interval,
    is_race,
    note_of,
    origin,
    reproduction_commands,
    scored_of,
    strategies_of,
    tested_on,
    unit_of,
    verdict,
)
from autodp_ray.result import EARLIER, RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One labelled amount; `start` and `width` in percent of the longest bar or of the whole."""

    label: str
    text: str
    start: float = 0.0
    width: float = 0.0
    kind: str = ""


def render_report(result: RunResult, explanation: Explanation | None = None) -> str:
    """The result as one HTML page without scripts and without anything to load."""
    axis, time_parts = axis_of(result, explanation), _time_parts(result)
    inner = {
        name: value for name, value in result.seconds.phases.items() if name not in {bar.kind for bar in time_parts}
    }
    return (
        page_templates()
        .get_template("report.html.jinja")
        .render(
            result=result,
            explanation=explanation,
            axis=axis,
            is_race=is_race,
            headline=headline(result),
            verdict=verdict(result),
            tone=_tone(result),
            unit=unit_of(result),
            note=note_of(result),
            abstentions=abstentions(result),
            flattery=flattery(result),
            source_words=SOURCE_WORDS,
            sources=_sources(result),
            num_failed=len({one.strategy for one in strategies_of(result)} - scored_of(result)),
            stopped=STOP_WORDS.get(result.stop_reason or "", result.stop_reason),
            time_parts=time_parts,
            phases=_ranked(inner, duration),
            balance=balance(result.rows),
            dropped=_ranked(result.rows.dropped, count),
            rejected=_ranked(result.rows.rejected, count),
            work=_work(result),
            commands=reproduction_commands(result),
            tested_on=tested_on(result),
            by_seed=_by_seed(result),
            origin=origin(result),
        )
    )


@cache
def page_templates() -> Environment:
    """The templates of all pages, with the filters that they use."""
    environment = Environment(
        loader=PackageLoader("autodp_ray.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "duration": duration, "signed": signed, "interval": interval}
    return environment


def _sources(result: RunResult) -> Counter[str]:
    """How many strategies each source was the first to choose."""
    first: dict[str, str] = {}
    for one in strategies_of(result):
        first.setdefault(one.strategy, one.source)
    return Counter(first.values())


def _tone(result: RunResult) -> str:
    if result.status == "failed":
        return "bad"
    return "good" if result.status == "done" and result.claim == "confirmed" else "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRow:
    """The scores of one training seed; None on a side that did not train with it."""

    seed: int
    candidate: float | None = None
    baseline: float | None = None


def _by_seed(result: RunResult) -> tuple[SeedRow, ...]:
    found = result.confirmation
    if found is None:
        return ()
    seeds = sorted({*found.candidate, *found.baseline})
    return tuple(
        SeedRow(seed=seed, candidate=found.candidate.get(seed), baseline=found.baseline.get(seed)) for seed in seeds
    )


def _time_parts(result: RunResult) -> tuple[Bar, ...]:
    """The phases of a run in their order, and what is left of the total, as shares of it. `apply` comes on top."""
    seconds = result.seconds
    named = {
        EARLIER: seconds.phases.get(EARLIER),
        "prepare": seconds.phases.get("prepare"),
        "startup": seconds.startup,
        "baseline": seconds.phases.get("baseline"),
        "search": seconds.search,
        "confirm": seconds.confirm,
        "apply": seconds.apply,
    }
    parts = {name: value for name, value in named.items() if value is not None}
    rest = (seconds.total or 0.0) + (seconds.apply or 0.0) - sum(parts.values())
    if parts and rest > 0.01 * (seconds.total or 0.0):
        parts["other"] = rest
    whole, start, bars = sum(parts.values()) or 1.0, 0.0, []
    for name, value in parts.items():
        width = 100 * value / whole
        text = f"{duration(value)} · {width:.0f} %"
        bars.append(
            Bar(label=name.replace("_", " "), text=text, start=round(start, 2), width=round(width, 2), kind=name)
        )
        start += width
    return tuple(bars)


def _ranked(amounts: Mapping[str, float], words: Callable[[float], str]) -> tuple[Bar, ...]:
    """One bar for each amount, the largest first."""
    longest = max(amounts.values(), default=0) or 1
    ranked = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Bar(label=label, text=words(value), width=round(100 * value / longest, 2)) for label, value in ranked)


def _work(result: RunResult) -> tuple[Bar, ...]:
    """What was executed of what was requested, by kind of work."""
    pairs = {
        "Team runs": (result.team_runs_executed, result.team_runs_requested),
        "Trainings": (result.trainings_executed, result.trainings_requested),
        "LLM calls": (result.llm_calls_executed, result.llm_calls_requested),
    }
    return tuple(
        Bar(
            label=label,
            text=f"{count(executed)} of {count(requested)}",
            width=round(min(100.0, 100 * executed / (requested or 1)), 2),
            kind=f"{100 * max(0.0, 1 - executed / requested):.0f} % saved" if requested else "none asked for",
        )
        for label, (executed, requested) in pairs.items()
    )
