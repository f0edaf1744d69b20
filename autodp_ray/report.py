"""The report of a run: one self-contained HTML file made from its result.

Knows the numbers and words of result.json and shows no row text. The look stands in templates/report.*.jinja.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from autodp_ray.forest_plot import Axis, axis_over, signed
from autodp_ray.result import Interval, RunResult, StrategyResult

_UNITS: Mapping[str, str] = {
    "loss": "nats per answer token",
    "judge": "of (wins − losses) / comparisons",
    "reference": "points of similarity to the reference",
}
_NOTES: Mapping[str, str] = {
    "loss": (
        "The loss evaluator asks how probable the tuned model finds the held-out reference answers. That favours the "
        "style of those references: a rewrite that is better, but worded differently, is undervalued. A strategy with "
        "optimization or generation may be worth more than its score says; an LLM judge can tell."
    ),
    "judge": (
        "An LLM judge compares the answers of the tuned model with the baseline's, in both orders. What it prefers is "
        "that model's taste, and length and tone sway it; an abstention counts as a comparison that nobody won."
    ),
    "reference": (
        "The reference evaluator measures how similar the tuned model's answers are to the held-out references. A good "
        "answer in other words scores low."
    ),
}
_SOURCE_WORDS: Mapping[str, str] = {
    "agent": "proposed by the agent",
    "fallback": "fallback: the agent's reply could not be used",
    "given": "given on the command line",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One labelled amount; `start` and `width` in percent of the longest bar or of the whole."""

    label: str
    text: str
    start: float = 0.0
    width: float = 0.0
    kind: str = ""


def render_report(result: RunResult) -> str:
    """The result as one HTML page without scripts and without anything to load."""
    axis = _axis(result)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            result=result,
            axis=axis,
            headline=headline(result),
            verdict=verdict(result),
            tone=_tone(result),
            unit=_UNITS.get(result.evaluator or ""),
            note=_NOTES.get(result.evaluator or ""),
            source_words=_SOURCE_WORDS,
            sources=Counter(strategy.source for strategy in _strategies(result)),
            num_failed=sum(strategy.status == "failed" for strategy in _strategies(result)),
            time_parts=_time_parts(result),
            phases=_ranked(result.seconds.phases, duration),
            dropped=_ranked(result.rows.dropped, count),
            rejected=_ranked(result.rows.rejected, count),
            work=_work(result),
            commands=reproduction_commands(result),
        )
    )


def headline(result: RunResult) -> str:
    """The outcome in one plain sentence."""
    if result.status == "running":
        return "The search is still running."
    if result.status == "failed":
        return "The run failed before it could make a claim."
    if result.status == "interrupted":
        return "The run was interrupted before it could make a claim."
    return {
        "confirmed": f"Processing the data by {result.best_strategy} makes the tuned model better.",
        "unconfirmed": "Nothing is proven to beat the unprocessed data.",
        "none": "No strategy beat the unprocessed data.",
        None: "The run ended without a claim.",
    }[result.claim]


def verdict(result: RunResult) -> str:
    """What was measured, what it means and what to do, in plain words with the numbers."""
    measured = _measured_on_test(result)
    if result.claim == "confirmed":
        return (
            f"On test rows that the search never saw, it scores {measured} against training on the unprocessed data. "
            "The whole interval is above zero."
        )
    if result.claim == "unconfirmed":
        return (
            f"{result.best_measured} scored best on validation, but on test rows that the search never saw its gain is "
            f"{measured}: the interval does not lie above zero. The recommendation is to train on the data as it is."
        )
    if result.claim == "none":
        unread = "; the test rows were not read" if result.test_score is None else ""
        return (
            f"Every strategy that was tried scored at or below the unprocessed data on validation{unread}. "
            "The recommendation is to train on the data as it is."
        )
    return "What was scored so far is shown below; it is a ranking on validation rows, and no claim."


def reproduction_commands(result: RunResult) -> tuple[tuple[str, str], ...]:
    """(what it does, command line) pairs for this run, with its own paths quoted for a shell."""
    commands = []
    if result.run_dir and result.status in ("failed", "interrupted"):
        commands.append(("Go on where it stopped", ["autodp", "run", "--resume", result.run_dir]))
    if result.config_path:
        again = ["--run-dir", f"{result.run_dir.rstrip('/')}-again"] if result.run_dir else []
        commands.append(("Run the same search again", ["autodp", "run", result.config_path, *again]))
    if result.run_dir and result.status == "done":
        commands.append(("Process the full train split", ["autodp", "apply", result.run_dir]))
        model = ["--model", result.model] if result.model else []
        commands.append(("Fine-tune on the processed data", ["autodp", "tune", result.run_dir, *model]))
    if result.run_dir:
        commands.append(("Rebuild this page", ["autodp", "report", result.run_dir]))
    return tuple((what, shlex.join(words)) for what, words in commands)


def duration(seconds: float) -> str:
    """Seconds in the two largest units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: float) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("autodp_ray"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "duration": duration, "signed": signed, "interval": _interval}
    return environment


def _strategies(result: RunResult) -> Iterator[StrategyResult]:
    return (strategy for one in result.rounds for strategy in one.strategies)


def _axis(result: RunResult) -> Axis:
    """One axis for every score of the page, so that rounds, noise floor and test compare by eye."""
    values = [value for value in (result.best_score, result.test_score) if value is not None]
    for strategy in _strategies(result):
        values += [] if strategy.score is None else [strategy.score]
        values += strategy.ci95 or ()
    values += [*(result.ci95 or ()), *(result.test_ci95 or ())]
    values += [] if result.noise_floor is None else [-result.noise_floor, result.noise_floor]
    return axis_over(values)


def _tone(result: RunResult) -> str:
    if result.status == "failed":
        return "bad"
    return "good" if result.status == "done" and result.claim == "confirmed" else "open"


def _measured_on_test(result: RunResult) -> str:
    """The test score with its unit and interval."""
    if result.test_score is None:
        return "not measured"
    decimals, unit = _axis(result).decimals, _UNITS.get(result.evaluator or "")
    text = " ".join(filter(None, (signed(result.test_score, decimals=decimals), unit)))
    return text if result.test_ci95 is None else f"{text} (95 % interval {_interval(result.test_ci95, decimals)})"


def _interval(ci95: Interval, decimals: int = 3) -> str:
    return f"{signed(ci95[0], decimals=decimals)} to {signed(ci95[1], decimals=decimals)}"


def _time_parts(result: RunResult) -> tuple[Bar, ...]:
    """Start-up, search, confirm and apply in their order, and what is left of the total, as shares of it."""
    seconds = result.seconds
    named = {"startup": seconds.startup, "search": seconds.search, "confirm": seconds.confirm, "apply": seconds.apply}
    parts = {name: value for name, value in named.items() if value is not None}
    rest = (seconds.total or 0.0) - sum(parts.values())
    if parts and rest > 0.01 * (seconds.total or 0.0):
        parts["other"] = rest
    whole, start, bars = sum(parts.values()) or 1.0, 0.0, []
    for name, value in parts.items():
        width = 100 * value / whole
        text = f"{duration(value)} · {width:.0f} %"
        bars.append(Bar(label=name, text=text, start=round(start, 2), width=round(width, 2), kind=name))
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
