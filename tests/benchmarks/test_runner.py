"""The runner: reports, gates, exit codes, the table."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import protocol, report
from benchmarks.gates import Gate, GateSpec, figure_at, judge, load_bars
from benchmarks.protocol import NAMES, Figures, Options
from benchmarks.repeated import LONG_S, rate, repeated, spread, timed
from benchmarks.report import Report, command_of, read_report, run_benchmark
from benchmarks.table import BEGIN, END, TableRow, load_rows, markdown, replace_between_marks

FIGURES = {"speed": spread([2.0, 4.0, 9.0]), "ratio": 0.5, "count": 7, "due": 7, "curve": {"0.9": 1.0}, "lost": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeBenchmark:
    """Returns figures that the test chose."""

    figures: Mapping[str, object]

    def run(self, rows: int | None = None, smoke: bool = False) -> Figures:
        return {**self.figures, "rows": rows}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark `fake` with one gate that holds, one that does not and one that needs the full size."""
    bars = (
        GateSpec(name="count", figure="count", equals="due"),
        GateSpec(name="ratio", figure="ratio", at_least=0.6),
        GateSpec(name="speed", figure="speed", at_least=3.0, full_only=True),
    )
    rows = (TableRow(label="speed", figure="speed", unit="rows/s", limit="due", limit_is="a law"),)
    monkeypatch.setattr(protocol, "NAMES", {"fake": "a fake"})
    monkeypatch.setattr(command, "NAMES", {"fake": "a fake"})
    monkeypatch.setattr(report, "NAMES", {"fake": "a fake"})
    monkeypatch.setattr(command, "load", lambda name: FakeBenchmark(figures=FIGURES))
    monkeypatch.setattr(report, "load_bars", lambda: {"fake": bars})
    monkeypatch.setattr("benchmarks.table.load_rows", lambda: {"fake": rows})


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command.app, list(arguments))
    return done.exit_code, done.output


@pytest.mark.parametrize(("figures", "num_gates"), [({"a": {"b": 1}}, 1), ({"a": {}}, 0)])
def test_a_gate_of_what_some_runs_measure_is_for_these_alone(figures: dict[str, object], num_gates: int) -> None:
    gates = judge([GateSpec(name="b", figure="a.b", at_most=2, if_measured=True)], figures, smoke=False)
    assert len(gates) == num_gates


@pytest.mark.usefixtures("fake")
def test_a_report_says_where_how_and_with_what_outcome(tmp_path: Path) -> None:
    code, shown = invoke("run", "fake", "--rows", "5", "--json", str(tmp_path / "made" / "fake.json"))
    body = json.loads((tmp_path / "made" / "fake.json").read_text())
    assert code == 0
    assert "| speed | 4 rows/s | 2 to 9, 3 runs | 7, a law |" in shown
    assert body["command"] == "python -m benchmarks run fake --rows 5"
    assert body["figures"]["speed"] == {"median": 4.0, "min": 2.0, "max": 9.0, "runs": 3}
    assert body["figures"]["rows"] == 5
    assert {"cpu", "cores", "memory_bytes"} <= body["machine"].keys()
    assert {"python", "ray", "torch"} <= body["versions"].keys()
    assert body["gates"] == [
        {"name": "count", "value": 7, "bar": 7, "ok": True},
        {"name": "ratio", "value": 0.5, "bar": 0.6, "ok": False},
        {"name": "speed", "value": 4.0, "bar": 3.0, "ok": True},
    ]


@pytest.mark.usefixtures("fake")
def test_a_missed_bar_fails_the_command_only_with_gate() -> None:
    assert invoke("run", "fake")[0] == 0
    assert invoke("run", "fake", "--gate")[0] == 1


@pytest.mark.usefixtures("fake")
def test_reached_bars_pass_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load", lambda name: FakeBenchmark(figures=FIGURES | {"ratio": 0.6}))
    assert invoke("run", "fake", "--gate")[0] == 0


@pytest.mark.usefixtures("fake")
def test_a_name_that_is_none_is_wrong_use() -> None:
    code, shown = invoke("run", "fakes")
    assert code == 2
    assert "'fakes' is none of fake" in shown


@pytest.mark.usefixtures("fake")
def test_a_smoke_run_says_so_and_leaves_out_what_needs_the_full_size() -> None:
    found = run_benchmark("fake", FakeBenchmark(figures=FIGURES), Options(smoke=True))
    assert found.smoke
    assert found.command == "python -m benchmarks run fake --smoke"
    assert [gate.name for gate in found.gates] == ["count", "ratio"]


@pytest.mark.usefixtures("fake")
def test_the_table_goes_between_the_marks_of_a_file(tmp_path: Path) -> None:
    page, made = tmp_path / "page.md", tmp_path / "fake.json"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    invoke("run", "fake", "--json", str(made))
    assert invoke("table", str(made), "--into", str(page))[0] == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "ratio 0.5 (bar 0.6, **missed**)" in text


def test_a_file_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        replace_between_marks("no marks", "table")


@pytest.mark.parametrize(
    ("bar", "value", "ok"),
    [
        ({"at_least": 3}, 3, True),
        ({"at_least": 3}, 2.9, False),
        ({"at_most": 3}, 3, True),
        ({"at_most": 3}, 3.1, False),
        ({"equals": 3}, 3, True),
        ({"equals": 3}, 4, False),
    ],
)
def test_a_gate_compares_with_its_bar(bar: dict[str, float], value: float, ok: bool) -> None:
    spec = GateSpec.model_validate({"name": "one", "figure": "x"} | bar)
    assert judge([spec], {"x": value}, smoke=False) == (Gate(name="one", value=value, bar=3, ok=ok),)


def test_a_figure_that_could_not_be_measured_misses_every_bar() -> None:
    for bar in ("at_least", "at_most", "equals"):
        spec = GateSpec.model_validate({"name": "one", "figure": "lost", bar: 0})
        assert not judge([spec], FIGURES, smoke=False)[0].ok


def test_paths_lead_to_numbers_and_to_nothing_else() -> None:
    assert figure_at(FIGURES, "speed") == 4.0
    assert figure_at(FIGURES, "speed.max") == 9.0
    assert figure_at(FIGURES, "curve.0.9") == 1.0
    for wrong in ("speeds", "curve", "curve.0.8", "count.x"):
        with pytest.raises(KeyError):
            figure_at(FIGURES, wrong)


def test_a_gate_has_one_bar() -> None:
    for bars in ({}, {"at_least": 1, "at_most": 2}):
        with pytest.raises(ValidationError, match="exactly one of"):
            GateSpec.model_validate({"name": "one", "figure": "x"} | bars)


def test_a_step_is_repeated_unless_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def step(seconds: float) -> float:
        now[0] += seconds
        return seconds

    assert repeated(lambda: step(LONG_S)) == [LONG_S] * 3
    assert repeated(lambda: step(LONG_S + 1)) == [LONG_S + 1]


def test_times_are_read_off_the_clock_that_is_given() -> None:
    ticks = iter([0.0, 1.0, 10.0, 13.0, 20.0, 22.0])
    seconds = timed(lambda: None, clock=lambda: next(ticks))
    assert seconds == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": 3}
    assert rate(6, seconds) == {"median": 3.0, "min": 2.0, "max": 6.0, "runs": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnJudge:
    """A benchmark that brings its own gates."""

    def run(self, rows: int | None = None, smoke: bool = False) -> Figures:
        gate = {"name": "own", "value": 2, "bar": 3, "ok": False}
        return {"figures": {"speed": {"fast": 2, "name": "x"}, "count": spread([1, 2, 6])}, "gates": [gate]}


def test_a_benchmark_may_judge_itself_and_needs_no_bars_and_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "NAMES", {"own": "what it likes"})
    found = run_benchmark("own", OwnJudge(), Options())
    assert found.gates == (Gate(name="own", value=2, bar=3, ok=False),)
    assert not found.ok
    shown = markdown([found])
    assert "| speed.fast | 2 |  |  |" in shown
    assert "| count | 2 | 1 to 6, 3 runs |  |" in shown


def test_bars_and_rows_belong_to_benchmarks_and_these_have_modules() -> None:
    assert load_bars().keys() | load_rows().keys() <= NAMES.keys()
    folder = Path(protocol.__file__).parent
    assert all((folder / f"{name}.py").is_file() for name in NAMES)


def test_the_table_in_the_readme_is_that_of_the_checked_in_reports() -> None:
    folder = Path(protocol.__file__).parent
    reports = [read_report(file) for file in sorted((folder / "results").glob("*.json"))]
    text = (folder / "README.md").read_text()
    assert replace_between_marks(text, markdown(reports)) == text
    assert all(isinstance(one, Report) and one.command == command_of(one.benchmark, _options(one)) for one in reports)


def _options(one: Report) -> Options:
    words = one.command.split()
    rows = int(words[words.index("--rows") + 1]) if "--rows" in words else None
    workers = words[words.index("--workers") + 1].split(",") if "--workers" in words else []
    config = words[words.index("--config") + 1] if "--config" in words else None
    return Options(rows=rows, smoke=one.smoke, workers=tuple(map(int, workers)), config=config)
