"""Runs one benchmark and says where, how and with what outcome: the JSON that everything else reads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from benchmarks.gates import Gate, judge, load_bars
from benchmarks.machine import describe, package_versions
from benchmarks.protocol import NAMES, Benchmark, Options
from operators.contract.redaction import redacted


class Report(BaseModel):
    """One run of one benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    measures: str
    command: str
    at: str
    smoke: bool
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    seconds: float
    figures: Mapping[str, Any]
    gates: tuple[Gate, ...]

    @property
    def ok(self) -> bool:
        return all(gate.ok for gate in self.gates)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def run_benchmark(name: str, benchmark: Benchmark, options: Options) -> Report:
    """The report of a benchmark run now."""
    started = time.monotonic()
    found = dict(benchmark.run(**options.arguments()))
    own_gates = found.pop("gates", ())
    figures = found.get("figures", found)
    assert isinstance(figures, Mapping)
    gates = judge(load_bars().get(name, ()), figures, smoke=options.smoke)
    return Report(
        benchmark=name,
        measures=NAMES[name],
        command=command_of(name, options),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        smoke=options.smoke,
        machine=describe(),
        versions=package_versions(),
        seconds=round(time.monotonic() - started, 1),
        figures=figures,
        gates=(*TypeAdapter(tuple[Gate, ...]).validate_python(own_gates), *gates),
    )


def read_report(path: Path) -> Report:
    """A report that was written."""
    return Report.model_validate_json(path.read_bytes())


def command_of(name: str, options: Options) -> str:
    """The command that gives such a report."""
    words = [
        *([] if options.rows is None else [f"--rows {options.rows}"]),
        *([] if options.storage is None else [f"--storage {redacted(options.storage)}"]),
        *(["--workers " + ",".join(map(str, options.workers))] if options.workers else []),
        *([] if options.config is None else [f"--config {options.config}"]),
        *(["--smoke"] if options.smoke else []),
    ]
    return " ".join(["python -m benchmarks run", name, *words])
