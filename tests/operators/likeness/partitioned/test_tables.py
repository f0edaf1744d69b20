"""Tables cut by who reads them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.likeness.partitioned.tables import addressed


@given(to=st.lists(st.integers(0, 5)), num_chunks=st.integers(1, 3))
def test_each_task_gets_its_rows_in_their_order(to: list[int], num_chunks: int) -> None:
    rows = pa.chunked_array(np.array_split(np.arange(len(to)), num_chunks))
    boxes = addressed(pa.table({"row": rows}), np.array(to, dtype=np.int64))
    got = {task: table["row"].to_pylist() for task, table in boxes.items()}
    assert got == {task: [row for row, one in enumerate(to) if one == task] for task in set(to)}


def test_a_row_may_be_for_several_tasks() -> None:
    boxes = addressed(pa.table({"row": [7, 8]}), np.array([3, 1, 1]), places=np.array([1, 1, 0]))
    assert {task: table["row"].to_pylist() for task, table in boxes.items()} == {1: [8, 7], 3: [8]}
