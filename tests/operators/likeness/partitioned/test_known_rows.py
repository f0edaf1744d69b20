"""Rows beside an index: what stays is what would stay of one dataset in which the index's rows come first."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contract.in_process import apply_to_parts
from operators.contract.resources import KnownRows, Resources
from operators.deduplicate import Deduplicate, Deduplication
from operators.likeness.partitioned.cluster_steps import best_rows
from operators.likeness.partitioned.near_duplicates import NearDuplicates
from operators.likeness.row_likeness import SaidKeys, group_rows, lacks_what_another_has
from operators.likeness.row_sketches import sketch_rows
from operators.likeness.sketch_mark import sketch_mark
from operators.rows.record import is_complete
from tests.operators.likeness.partitioned.near_copies import dataset
from tests.operators.row_tables import table_of


@dataclass(frozen=True, kw_only=True)
class Known:
    """An index in memory."""

    tables: Sequence[pa.Table] = ()
    kept: list[pa.Table] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    @property
    def revision(self) -> str:
        return "1"

    @property
    def num_parts(self) -> int:
        return len(self.tables)

    @property
    def part_bytes(self) -> int:
        return max((table.nbytes for table in self.tables), default=0)

    def read(self, number: int) -> pa.Table:
        return self.tables[number]

    def keep(self, number: int, table: pa.Table) -> object:
        self.kept.append(table)
        return table.num_rows

    def close(self, notes: Sequence[object]) -> None:
        self.closed.append(sum(note for note in notes if isinstance(note, int)))

    def extended(self) -> Known:
        return Known(tables=[*self.tables, *self.kept])

    @property
    def kept_ids(self) -> list[str]:
        return [name for table in self.kept for name in table["id"].to_pylist()]


def _kept(table: pa.Table, known: KnownRows, cuts: Sequence[int], partition_bytes: int) -> list[str]:
    parts = [table.slice(low, high - low) for low, high in pairwise([0, *sorted(cuts), table.num_rows])]
    found = NearDuplicates(threshold=0.8, num_perm=128, seed=0, partition_bytes=partition_bytes)
    done = apply_to_parts(Deduplication(found=found, content_columns="auto", known=known), parts)
    return [name for part in done for name in part.table["id"].to_pylist()]


def _beside(first: pa.Table, second: pa.Table) -> list[str]:
    """What stays of the second table, decided over all rows at once."""
    table = pa.concat_tables([first, second])
    rows, known = sketch_rows(table), np.arange(table.num_rows) < first.num_rows
    complete = is_complete(table).to_numpy(zero_copy_only=False)
    best = best_rows(group_rows(rows), known=known, complete=complete, lengths=rows.lengths, ids=table["id"])
    best &= ~lacks_what_another_has(SaidKeys.of(rows), of=complete, rows_in_question=~complete)
    ids: list[str] = table["id"].filter(pa.array(best & ~known)).to_pylist()
    return ids


def _renamed(table: pa.Table, prefix: str) -> pa.Table:
    ids = pa.array([prefix + name for name in table["id"].to_pylist()], pa.string())
    return table.set_column(0, table.schema.field("id"), ids)


@pytest.mark.heavy
@given(
    seed=st.integers(0, 10**6),
    num_cuts=st.sampled_from([0, 1, 4]),
    partition_bytes=st.sampled_from([1 << 30, 1 << 13]),
)
def test_a_dataset_beside_an_index_is_decided_as_with_its_rows_in_it(
    seed: int, num_cuts: int, partition_bytes: int
) -> None:
    rng = random.Random(seed)
    whole = dataset(rng)
    at = rng.randint(0, whole.num_rows)
    first, second = _renamed(whole.slice(0, at), "a"), _renamed(whole.slice(at), "b")
    cuts = [rng.choices(range(table.num_rows + 1), k=num_cuts) for table in (first, second)]
    known = Known()
    kept = _kept(first, known, cuts[0], partition_bytes)
    assert known.kept_ids == kept == _kept(first, Known(), [], partition_bytes)
    index = known.extended()
    survivors = first.filter(pa.array([name in kept for name in first["id"].to_pylist()], pa.bool_()))
    expected = _beside(survivors, second)
    assert _kept(second, index, cuts[1], partition_bytes) == index.kept_ids == expected
    assert index.closed == [len(expected)]


def test_the_first_stays_though_a_later_one_is_longer() -> None:
    answer = "Take one tablet in the morning with a glass of water and rest for at least two hours after the meal today"
    known = Known()
    _kept(table_of([{"question": "What helps?", "answer": answer}]), known, [], 1 << 30)
    later = table_of([{"question": "What helps?", "answer": f"{answer} please"}, {"question": "What?", "answer": None}])
    index = known.extended()
    assert _kept(later, index, [], 1 << 30) == ["r00001"]
    assert _kept(later, index.extended(), [0, 1], 1 << 30) == []


def test_sketches_of_other_settings_are_told_apart() -> None:
    plain = Deduplicate().known_by(Resources())
    assert plain == Deduplicate().known_by(Resources())
    for other in (Deduplicate(num_perm=64), Deduplicate(threshold=0.7), Deduplicate(seed=1)):
        assert other.known_by(Resources()) != plain
    assert Deduplicate().known_by(Resources(content_columns=("topic",))) != plain
    marks = {sketch_mark(num_perm=num_perm, seed=seed) for num_perm in (64, 128) for seed in (0, 1)}
    assert len(marks) == 4
