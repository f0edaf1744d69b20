"""Runs on undamaged data: which rows their claims are tried on again, and when a claim is denied."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.gates import judge, load_bars
from benchmarks.report import read_report
from benchmarks.undamaged import RUN_SEEDS, is_denied, left_out
from operators.rows.record import RECORD_SCHEMA

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "undamaged.json"

CONFIRMED = {"gain": 0.02, "low": 0.01, "high": 0.03}


@pytest.mark.parametrize(("gain", "denied"), [(0.001, False), (0.0, True), (-0.02, True)])
@pytest.mark.parametrize("rows", ["test", "unsampled"])
def test_a_claim_is_denied_where_fresh_trainings_show_no_gain_on_either_rows(
    rows: str, gain: float, denied: bool
) -> None:
    found = {"test": CONFIRMED, "unsampled": CONFIRMED, rows: {"gain": gain, "low": gain - 0.1, "high": gain + 0.1}}
    assert is_denied(found) == denied


def test_rows_left_out_of_the_sample_are_whole_ones_that_nothing_was_trained_on() -> None:
    rows: list[dict[str, str | None]] = [{"id": name, "question": "Why?", "answer": "So."} for name in "abcd"]
    rows[2]["answer"] = None
    train = pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)
    assert left_out(train, sampled=pa.chunked_array([["b"]]))["id"].to_pylist() == ["a", "d"]


def test_every_run_is_in_the_report_and_no_claim_was_denied() -> None:
    figures = read_report(RESULT).figures
    assert list(figures["by_run"]) == [f"seed_{seed}" for seed in RUN_SEEDS]
    (gate,) = judge(load_bars()["undamaged"], figures, smoke=False)
    assert gate.ok
    assert all((one["fresh"] is not None) == (one["claim"] == "confirmed") for one in figures["by_run"].values())
