"""The table of benchmarks/README.md, from the reports alone; table.yaml says which figures it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from benchmarks.ablation_table import modes_table
from benchmarks.gates import Gate, figure_at, value_at
from benchmarks.mixes_table import mixes_table
from benchmarks.peers_table import peers_table
from benchmarks.policies_table import policies_table
from benchmarks.report import Report
from benchmarks.undamaged_table import undamaged_table
from benchmarks.winners_table import winners_table

ROWS = Path(__file__).with_name("table.yaml")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
OWN_TABLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        "ablation": modes_table,
        "peers": peers_table,
        "regret_table": policies_table,
        "settings": mixes_table,
        "undamaged": undamaged_table,
        "winners": winners_table,
    }
)
"""Benchmarks whose figures make a table of their own below the common one."""
_HEAD = "| figure | median | min to max | physical limit |\n|---|---|---|---|"


class TableRow(BaseModel):
    """One line. `figure` and `limit` are dotted paths into the figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    figure: str
    unit: str = ""
    limit: str | None = None
    limit_is: str | None = None
    """What sets the limit, in a few words."""


def load_rows(path: Path = ROWS) -> Mapping[str, tuple[TableRow, ...]]:
    """The lines of each benchmark."""
    return TypeAdapter(dict[str, tuple[TableRow, ...]]).validate_python(yaml.safe_load(path.read_text("utf-8")))


def markdown(reports: Sequence[Report]) -> str:
    """The tables of all reports, by name."""
    rows = load_rows()
    ordered = sorted(reports, key=lambda report: report.benchmark)
    return "\n\n".join(_section(report, rows.get(report.benchmark) or _every_number(report)) for report in ordered)


def replace_between_marks(text: str, table: str) -> str:
    """The text with what stands between the two marks replaced.

    Raises: ValueError where it lacks them.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no place for the table: put the lines {BEGIN} and {END} where it belongs")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def _every_number(report: Report) -> tuple[TableRow, ...]:
    return tuple(TableRow(label=path, figure=path) for path in _paths(report.figures, ""))


def _paths(figures: Mapping[str, object], prefix: str) -> Iterator[str]:
    for name, found in figures.items():
        if isinstance(found, Mapping) and "runs" not in found:
            yield from _paths(found, f"{prefix}{name}.")
        elif isinstance(found, int | float | Mapping):
            yield f"{prefix}{name}"


def _section(report: Report, rows: Sequence[TableRow]) -> str:
    machine = report.machine
    memory = round(int(machine["memory_bytes"]) / 2**30)
    title = f"### {report.benchmark}\n\n{report.measures[0].upper()}{report.measures[1:]}."
    where = f"`{report.command}`, {report.at[:10]}, {machine['cpu']}, {machine['cores']} cores, {memory} GiB"
    lines = "\n".join(_lines(report, rows))
    if own := OWN_TABLES.get(report.benchmark):
        lines = f"{lines}\n\n{own(report.figures)}"
    gates = "; ".join(map(_gate, report.gates)) or "none at this size"
    return f"{title} {where}.\n\n{_HEAD}\n{lines}\n\nGates: {gates}."


def _lines(report: Report, rows: Sequence[TableRow]) -> Iterator[str]:
    for row in rows:
        found, value = value_at(report.figures, row.figure), figure_at(report.figures, row.figure)
        limit = "" if row.limit is None else f"{_number(figure_at(report.figures, row.limit))}, {row.limit_is}"
        unit = "" if value is None else f" {row.unit}"
        yield f"| {row.label} | {_number(value)}{unit}".rstrip() + f" | {_range(found)} | {limit} |"


def _range(found: object) -> str:
    if not isinstance(found, Mapping) or "runs" not in found:
        return ""
    if found["runs"] == 1:
        return "one run"
    return f"{_number(found['min'])} to {_number(found['max'])}, {found['runs']} runs"


def _gate(gate: Gate) -> str:
    return f"{gate.name} {_number(gate.value)} (bar {_number(gate.bar)}{'' if gate.ok else ', **missed**'})"


def _number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "not measured"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
