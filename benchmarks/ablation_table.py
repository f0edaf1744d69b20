"""The ablation's table, as the paper's Table 5: a line per mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "none": "without any",
    "dps": "+ DPS",
    "pts": "+ PTS",
    "cache": "+ cache of every prefix",
    "rows": "+ row-level reuse",
}
_HEAD = (
    "| mode | search, s | saved | by this technique | team runs | trainings | model calls | tokens | best strategy |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def modes_table(figures: Mapping[str, Any]) -> str:
    """Markdown from the ablation's figures."""
    lines = [_line(name, mode, figures["saved"][name]) for name, mode in figures["modes"].items()]
    return "\n".join([_HEAD, *lines])


def _line(name: str, mode: Mapping[str, Any], saved: Mapping[str, float]) -> str:
    cells = (
        NAMES[name],
        f"{mode['search_s']:,.0f}",
        f"{saved['frac']:.1%}",
        f"{saved['own_frac']:.1%}",
        f"{mode['team_runs_executed']} of {mode['team_runs_requested']}",
        f"{mode['trainings_executed']} of {mode['trainings_requested']}",
        f"{mode['llm_calls_executed']} of {mode['llm_calls_requested']}",
        f"{mode['llm_tokens']:,}",
        f"{mode['best']} ({mode['best_score']:+.4f})",
    )
    return f"| {' | '.join(cells)} |"
