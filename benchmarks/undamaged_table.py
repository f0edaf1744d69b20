"""The table of the runs on undamaged data: a line for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = (
    "| run | best measured, on validation rows | tested, on test rows | claim | fresh seeds, the same test rows "
    "| fresh seeds, rows left out of the sample |\n"
    "|---|---|---|---|---|---|"
)


def undamaged_table(figures: Mapping[str, Any]) -> str:
    """Markdown from the figures of `undamaged`."""
    return "\n".join([_HEAD, *(_line(name, found) for name, found in figures["by_run"].items())])


def _line(name: str, found: Mapping[str, Any]) -> str:
    fresh = found["fresh"] or {}
    cells = (
        name.replace("_", " "),
        _gain(found["best_measured"], found["validation"]),
        _gain(found["tested"], found["test"]),
        found["claim"],
        _gain("", fresh.get("test")),
        _gain("", fresh.get("unsampled")),
    )
    return f"| {' | '.join(cells)} |"


def _gain(strategy: str | None, found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    return f"{strategy} {found['gain']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]".lstrip()
