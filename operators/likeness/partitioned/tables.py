"""Sketches and rows' numbers as Arrow tables, and tables cut by who reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from operators.contract.exchange import Boxes, Inbox
from operators.likeness.hashed_sets import HashedSets, merge_sets
from operators.likeness.row_sketches import RowSketches
from operators.texts.text import Int64, UInt32, UInt64, scramble

HEADS, SIGNATURES, SETS = "heads", "signatures", "sets"
"""The channels in which each part keeps its own sketches."""
NUMBERS = ("keys", "variants", "frames", "systems", "contexts", "questions", "answers", "lengths")
SHINGLES = ("before", "answer")
_SHORT = np.iinfo(np.uint16).max
"""Up to here numbers are sorted in a fraction of the time."""
BAGS = (*SHINGLES, "before_words", "answer_words")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLayout:
    """Where rows lie, and how many tasks share what is not cut by parts."""

    starts: Int64
    """The number of each part's first row, and at the end how many rows there are."""
    num_partitions: int

    @property
    def num_parts(self) -> int:
        return len(self.starts) - 1

    def by_part(self, table: pa.Table) -> Boxes:
        """The table cut by the part of each `row`."""
        return addressed(table, np.searchsorted(self.starts, numbers(table, "row"), side="right") - 1)

    def by_place(self, rows: Int64) -> Boxes:
        """Where rows stand in their parts, for each part."""
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        return addressed(table_of({"place": rows - self.starts[parts]}), parts)

    def by_key(self, table: pa.Table) -> Boxes:
        """The table cut by a hash of each `key`."""
        return addressed(table, self.partitions(numbers(table, "key")))

    def partitions(self, keys: UInt64) -> Int64:
        """The partition of each key."""
        return (scramble(keys) % np.uint64(self.num_partitions)).astype(np.int64)

    def places(self, part: int, rows: Int64) -> Int64:
        """Where rows stand in their part."""
        places: Int64 = rows - self.starts[part]
        return places


@dataclass(frozen=True, slots=True)
class AddressedRows(Mapping[int, pa.Table]):
    """Rows of a table by the task that they are for. They are taken when asked for: those of all tasks together may be
    many times as large as the table."""

    table: pa.Table
    places: Mapping[int, Int64]

    def __getitem__(self, task: int) -> pa.Table:
        return self.table.take(pa.array(self.places[task]))

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def addressed(table: pa.Table, to: Int64, places: Int64 | None = None) -> Boxes:
    """The rows of a table by the task that each is for, in their order; or the rows at some places."""
    if places is None and (to[1:] >= to[:-1]).all():
        return {task: table.slice(low, high - low) for task, low, high in _runs(to)}
    order = small_order(to)
    places = order if places is None else places[order]
    table = table.combine_chunks()  # else each task would have them combined anew
    return AddressedRows(table, {task: places[low:high] for task, low, high in _runs(to[order])})


def small_order(numbers: Int64) -> Int64:
    """The places of numbers in ascending order, of equal ones the first place first; none of them is negative."""
    return np.argsort(numbers.astype(np.uint16) if numbers.max(initial=0) <= _SHORT else numbers, kind="stable")


def _runs(ordered: Int64) -> Iterator[tuple[int, int, int]]:
    """Each number of an ordered array, and where its run begins and ends."""
    starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
    return ((int(ordered[low]), low, high) for low, high in pairwise([*starts, len(ordered)]))


def read(inbox: Inbox, channel: str) -> pa.Table | None:
    """All that is addressed in a channel as one table, None where that is nothing."""
    tables = [table for table in inbox.tables(channel) if table.num_rows]
    return pa.concat_tables(tables) if tables else None


def numbers(table: pa.Table | None, name: str) -> np.ndarray:
    """A column as a numpy array; of no table, no int64 numbers."""
    return np.zeros(0, dtype=np.int64) if table is None else table[name].combine_chunks().to_numpy(zero_copy_only=False)


def table_of(columns: Mapping[str, Any]) -> pa.Table:
    """Numpy arrays, of numbers or of lists of one size, as a table."""
    return pa.table({name: array_of(values) for name, values in columns.items()})


def sketch_columns(rows: RowSketches, names: Sequence[str]) -> pa.Table:
    """Some of the fields of sketches."""
    return pa.table({name: _column(getattr(rows, name)) for name in names})


def sketches_of(table: pa.Table) -> RowSketches:
    """The sketches whose fields are columns of a table."""
    fields: dict[str, Any] = {name: numbers(table, name) for name in NUMBERS}
    fields |= {name: sets_in(table, name) for name in BAGS}
    return RowSketches(**fields, signatures=matrix_in(table, "signatures"))


def sets_in(table: pa.Table, name: str) -> HashedSets:
    """A column of sets."""
    return merge_sets([_set_of(chunk) for chunk in table[name].chunks])


def matrix_in(table: pa.Table, name: str) -> np.ndarray:
    """A column of lists of one size [N, size]."""
    kind = table.schema.field(name).type
    chunks = [chunk.flatten().to_numpy() for chunk in table[name].chunks]
    none = np.zeros(0, dtype=kind.value_type.to_pandas_dtype())
    joined = chunks[0] if len(chunks) == 1 else np.concatenate([none, *chunks])
    return joined.reshape(-1, kind.list_size)


def _set_of(chunk: pa.Array) -> HashedSets:
    offsets = chunk.offsets.to_numpy()
    return HashedSets(values=chunk.values.to_numpy()[offsets[0] : offsets[-1]], offsets=offsets - offsets[0])


def _column(field: HashedSets | UInt32 | UInt64 | Int64) -> pa.Array:
    if isinstance(field, HashedSets):
        return pa.LargeListArray.from_arrays(pa.array(field.offsets), pa.array(field.values))
    return array_of(field)


def array_of(values: np.ndarray) -> pa.Array:
    """Numbers [N], or lists of one size [N, size]."""
    flat = pa.array(values.ravel())
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
