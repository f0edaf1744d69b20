"""Rows that fill large buckets: the same groups as with all pairs compared, in time that grows with their number."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.likeness import near_duplicates
from operators.likeness.row_likeness import group_rows
from operators.likeness.row_sketches import sketch_rows
from tests.operators.row_tables import table_of, words

Row = Mapping[str, object]


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_what_rows_must_contain_of_each_other_finds_the_same_groups(seed: int) -> None:
    """Rows in one crowded bucket, of which some have all the words of others."""
    rng = random.Random(seed)
    told = words(rng, 60)
    rows: list[Row] = []
    for _ in range(50):
        kept = list(told)
        for _ in range(rng.choice([1, 1, 2])):
            kept[rng.randrange(len(kept))] = rng.choice(["", words(rng, 1)[0], told[0]])
        rows.append({"question": " ".join(kept), "answer": rng.choice(["Yes", "Yes", " ".join(words(rng, 30))])})
    table = table_of(rows)
    sketches = sketch_rows(table)
    groups = []
    with pytest.MonkeyPatch.context() as patched:
        for size in (4, 1000):
            patched.setattr(near_duplicates, "LARGE_BUCKET", size)
            groups.append(group_rows(sketches).tolist())
    assert groups[0] == groups[1]


def test_edits_of_one_long_question_cost_about_as_much_each_however_many_they_are() -> None:
    def seconds(count: int) -> float:
        rng = random.Random(8)
        told = words(rng, 80)
        rows: list[Row] = []
        for _ in range(count):
            edited = list(told)
            edited[rng.randrange(80)] = words(rng, 1)[0]
            rows.append({"question": " ".join(edited), "answer": "Yes"})
        sketches = sketch_rows(table_of(rows))
        started = time.process_time()
        assert len(np.unique(group_rows(sketches))) > 0.98 * count
        return time.process_time() - started

    small, large = (min(seconds(count) for _ in range(3)) for count in (500, 2000))
    assert large < 2.5**2 * small
