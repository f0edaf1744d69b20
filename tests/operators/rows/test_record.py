"""The record schema's helpers: completeness, row hashes, few-shots."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.rows.record import RECORD_SCHEMA, is_complete, lowest_hash_complete, row_hashes, take_rows


def records(pairs: list[tuple[str | None, str | None]]) -> pa.Table:
    rows: list[dict[str, object]] = [
        {"id": f"r{number}", "history": [], "question": question, "answer": answer, "origin": "source"}
        for number, (question, answer) in enumerate(pairs)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


PAIRS = st.lists(st.tuples(st.none() | st.just("q"), st.none() | st.just("a")), max_size=20)


def test_a_row_is_complete_when_both_fields_are_there() -> None:
    table = records([("q", "a"), (None, "a"), ("q", None), (None, None), ("", "")])
    assert is_complete(table).to_pylist() == [True, False, False, False, True]


def test_completeness_of_no_rows_is_an_empty_mask() -> None:
    mask = is_complete(RECORD_SCHEMA.empty_table())
    assert isinstance(mask, pa.Array)
    assert len(mask) == 0


@given(st.lists(st.text(max_size=5), max_size=20), st.integers(0, 2**40))
def test_a_rows_hash_depends_on_its_own_id_alone(ids: list[str], seed: int) -> None:
    together = row_hashes(ids, seed=seed)
    assert together.dtype == np.uint64
    assert together.tolist() == [int(row_hashes([one], seed=seed)[0]) for one in ids]


def test_seed_and_salt_each_change_every_hash() -> None:
    ids = [f"r{number}" for number in range(100)]
    found = [row_hashes(ids, seed=seed, salt=salt) for seed, salt in ((0, ""), (1, ""), (0, "shots"))]
    for first in range(3):
        for second in range(first):
            assert not (found[first] == found[second]).any()


def test_a_salt_cannot_be_mistaken_for_an_id() -> None:
    assert row_hashes(["b"], seed=0, salt="a")[0] != row_hashes(["ab"], seed=0)[0]


def test_hashes_are_spread_evenly() -> None:
    hashes = row_hashes([str(number) for number in range(4000)], seed=3)
    shares = np.bincount((hashes >> np.uint64(61)).astype(int), minlength=8) / 4000
    assert shares.min() > 0.1
    assert shares.max() < 0.15


@given(pairs=PAIRS, cut=st.integers(0, 20), k=st.integers(0, 6), seed=st.integers(0, 9))
def test_few_shots_of_batches_merge_into_those_of_the_whole(
    pairs: list[tuple[str | None, str | None]], cut: int, k: int, seed: int
) -> None:
    table = records(pairs)
    parts = [lowest_hash_complete(part, seed=seed, k=k) for part in (table.slice(0, cut), table.slice(cut))]
    merged = lowest_hash_complete(pa.concat_tables(parts), seed=seed, k=k)
    assert merged == lowest_hash_complete(table, seed=seed, k=k)


@given(pairs=PAIRS, k=st.integers(0, 6))
def test_few_shots_are_complete_rows_in_the_order_of_their_hashes(
    pairs: list[tuple[str | None, str | None]], k: int
) -> None:
    shots = lowest_hash_complete(records(pairs), seed=1, k=k)
    assert shots.num_rows == min(k, sum(None not in pair for pair in pairs))
    assert all(is_complete(shots).to_pylist())
    hashes = row_hashes(shots["id"].to_pylist(), seed=1, salt="shots").tolist()
    assert hashes == sorted(hashes)


@pytest.mark.parametrize("reverse", [False, True])
def test_few_shots_do_not_depend_on_the_order_of_the_rows(reverse: bool) -> None:
    table = records([("q", "a")] * 30)
    order = list(range(30))[:: -1 if reverse else 1]
    shots = lowest_hash_complete(table.take(order), seed=7, k=5)
    assert shots["id"].to_pylist() == lowest_hash_complete(table, seed=7, k=5)["id"].to_pylist()


@given(st.lists(st.integers(0, 5), max_size=5), st.data())
def test_rows_are_taken_by_their_place_over_any_chunks(sizes: list[int], data: st.DataObject) -> None:
    rows = records([(str(number), None) for number in range(sum(sizes))])
    starts = np.cumsum([0, *sizes])
    chunked = pa.concat_tables([rows.slice(start, size) for start, size in zip(starts, sizes, strict=False)] or [rows])
    places = data.draw(st.sets(st.integers(0, max(0, sum(sizes) - 1)), max_size=sum(sizes)))
    wanted = np.array(sorted(places), dtype=np.int64)
    assert take_rows(chunked, wanted).equals(chunked.take(wanted))


def test_rows_are_taken_from_a_column_that_holds_more_than_an_array_can() -> None:
    chunk = records([("q", "a" * (1 << 20))] * 16)
    table = pa.concat_tables([chunk] * 130)  # 2.1 GiB, of which one chunk lies in memory
    assert take_rows(table, np.array([0, 17, table.num_rows - 1]))["id"].to_pylist() == ["r0", "r1", "r15"]
