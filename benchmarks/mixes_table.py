"""The table of the search for settings: a line for each mix of damage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = (
    "| mix | noise floor | best strategy | lead over the best single team | the same from fresh seeds "
    "| its interval with endless seeds | gains of single teams |\n"
    "|---|---|---|---|---|---|---|"
)


def mixes_table(figures: Mapping[str, Any]) -> str:
    """Markdown from the figures of `settings`."""
    return "\n".join([_HEAD, *(_line(name, found) for name, found in figures["mixes"].items())])


def _line(name: str, found: Mapping[str, Any]) -> str:
    searched, fresh = found["one_training"], found.get("fresh_seeds")
    singles = {one: gain for one, gain in searched["gains"].items() if ">" not in one}
    cells = (
        f"{name.replace('_', ' ')} (`{found['damage']}`)",
        f"{found['noise_floor']:.4f}",
        searched["strategy"],
        f"{searched['lead']:+.4f}",
        "not trained" if fresh is None else f"{fresh['lead']:+.4f} {_interval(fresh['lead_ci95'])}",
        "" if fresh is None else _interval(fresh["lead_ci95_of_rows_alone"]),
        ", ".join(f"{one} {gain:+.3f}" for one, gain in singles.items()),
    )
    return f"| {' | '.join(cells)} |"


def _interval(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:+.4f}, {ends[1]:+.4f}]"
