"""The table of the peers: a line for each language, work and tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LANGUAGES = {"english": "English", "chinese": "Chinese"}
_WORKS = {"copies": "near-duplicates", "filters": "other operators"}
_TOOLS = {"autodp": "ours", "data_juicer": "Data-Juicer"}
_HEAD = (
    "| language | work | tool | MB per CPU second | ours over it | F1 | precision | recall "
    "| dropped under one instruction | peak, MB |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def peers_table(figures: Mapping[str, Any]) -> str:
    """Markdown from the figures, and a sentence for each tool that could not be measured."""
    lines = [line for language in _LANGUAGES for work in _WORKS for line in _lines(language, work, figures[language])]
    missing = dict.fromkeys(
        f"{_TOOLS.get(tool, tool)} could not be measured: {one['missing']}."
        for language in _LANGUAGES
        for work in _WORKS
        for tool, one in figures[language][work].items()
        if "missing" in one
    )
    return "\n".join([_HEAD, *lines, *(f"\n{sentence}" for sentence in missing)])


def _lines(language: str, work: str, figures: Mapping[str, Any]) -> Iterator[str]:
    for tool, one in figures[work].items():
        speed = one["mb_per_cpu_s"]
        peak = one.get("peak_bytes")
        cells = (
            _LANGUAGES[language],
            _WORKS[work],
            _TOOLS.get(tool, tool),
            "none" if speed is None else f"{speed['median']:.3g}",
            _number(figures[f"{work}_over"].get(tool), "x"),
            *(_number(one.get(name)) for name in ("f1", "precision", "recall")),
            "" if one.get("wrongly_dropped_frac") is None else f"{one['wrongly_dropped_frac']:.1%}",
            "" if peak is None else f"{peak / 1e6:,.0f}",
        )
        yield f"| {' | '.join(cells)} |"


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.4g} {unit}".rstrip()
