"""Controls: what must lose loses."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from benchmarks import controls
from benchmarks.gates import judge, load_bars
from benchmarks.report import read_report

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "controls.json"


def test_shuffled_answers_lost_and_no_processing_tied_with_itself_by_loss_and_by_reference() -> None:
    gates = judge(load_bars()["controls"], read_report(RESULT).figures, smoke=False)
    assert len(gates) == 6
    assert all(gate.ok for gate in gates)


def test_shuffling_gives_every_answer_to_another_row() -> None:
    rows = pa.table({"id": list("abcdef"), "answer": list("ABCDEF")})
    moved = controls.shuffled(rows)
    assert sorted(moved["answer"].to_pylist()) == sorted(rows["answer"].to_pylist())
    assert all(row["id"].upper() != row["answer"] for row in moved.to_pylist())
