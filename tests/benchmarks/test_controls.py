"""Controls: what must lose loses, and what is equal is not told apart. Real trainings of the bundled model."""

from __future__ import annotations

import pyarrow as pa
import pytest

from benchmarks import controls
from benchmarks.gates import judge, load_bars


@pytest.mark.slow
def test_shuffled_answers_lose_by_loss_and_by_reference_and_no_processing_does_not_lose_to_itself() -> None:
    gates = judge(load_bars()["controls"], controls.run(), smoke=False)
    assert [gate for gate in gates if not gate.ok] == []


def test_shuffling_gives_every_answer_to_another_row() -> None:
    rows = pa.table({"id": list("abcdef"), "answer": list("ABCDEF")})
    moved = controls.shuffled(rows, seed=3)
    assert sorted(moved["answer"].to_pylist()) == sorted(rows["answer"].to_pylist())
    assert all(row["id"].upper() != row["answer"] for row in moved.to_pylist())
