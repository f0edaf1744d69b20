"""Which rows repeat the id of an earlier one, told from hashes that the splits exchange; and the copies' numbers.

A partition of the hashes is looked at as a whole, so no process holds those of all rows. What comes back is what is
repeated alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actors.data.many_jobs import ManyJobs
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import Part, read_checked, write_part_file
from actors.storage.storage import Storage
from autodp_ray.ingest.id_files import HASH_BYTES, NUM_BUCKETS, ROW_BYTES, read_hashes
from autodp_ray.ingest.stored_split import StoredSplit
from autodp_ray.records.reader import with_ids
from autodp_ray.records.row_ids import numbered

PARTITION_BYTES = 64 << 20
"""Of the hashes that one worker compares."""
SPLIT, ROW, RANK, FIRST_SPLIT, FIRST_ROW = range(5)
"""Columns of what is repeated: a row, how many equal ones stand before it, and the first of them."""


def repeated_rows(out: Storage, splits: Sequence[StoredSplit], *, pool: PoolConfig) -> np.ndarray:
    """Int64 `[N, 5]`: the rows whose ids stand before, in the input's order."""
    num_bytes = sum(split.num_rows for split in splits) * (HASH_BYTES + ROW_BYTES)
    least = 2 if len(splits) > 1 else 1  # one would be compared here, by the process that gathers the results
    num = min(NUM_BUCKETS, max(least, 1 << (num_bytes // PARTITION_BYTES).bit_length()))
    step = NUM_BUCKETS // num
    job = _FindRepeated(out=out, splits=tuple(split.index for split in splits if split.num_rows))
    partitions = [(start, start + step) for start in range(0, NUM_BUCKETS, step)]
    found = list(ManyJobs(name="comparing ids", pool=pool).run(partitions, job))
    together = np.concatenate(found)
    ordered: np.ndarray = together[np.lexsort((together[:, ROW], together[:, SPLIT]))]
    return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class _FindRepeated:
    """The repeated rows among those whose hashes lie in a range of buckets."""

    out: Storage
    splits: tuple[int, ...]

    def __call__(self, buckets: tuple[int, int]) -> np.ndarray:
        read = [(split, *read_hashes(self.out, split, *buckets)) for split in self.splits]
        hashes = np.concatenate([np.empty((0, 2), np.uint64), *(each for _, each, _ in read)])
        places = np.concatenate([np.empty((0, 2), np.int64), *(_places(split, rows) for split, _, rows in read)])
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal hashes stay in the input's order
        hashes, places = hashes[order], places[order]
        is_first = np.ones(len(hashes), dtype=bool)
        is_first[1:] = (hashes[1:] != hashes[:-1]).any(axis=1)
        starts = np.flatnonzero(is_first)[np.cumsum(is_first) - 1] if len(hashes) else np.empty(0, np.int64)
        again = np.flatnonzero(~is_first)
        ranks = (again - starts[again]).reshape(-1, 1)
        return np.concatenate([places[again], ranks, places[starts[again]]], axis=1).astype(np.int64)


def _places(split: int, rows: np.ndarray) -> np.ndarray:
    """(split, row) of rows whose order by hash keeps that of equal ones."""
    return np.stack([np.full(len(rows), split, np.int64), rows.astype(np.int64)], axis=1)


def number_copies(
    out: Storage, splits: Sequence[StoredSplit], repeated: np.ndarray, *, pool: PoolConfig
) -> list[StoredSplit]:
    """The splits with the numbers of exact copies in their ids; parts without any stay as they are."""
    bounds = np.searchsorted(repeated[:, SPLIT], [split.index for split in splits] + [np.iinfo(np.int64).max])
    asked = [
        _Copies(split=split, rows=repeated[start:stop, ROW], ranks=repeated[start:stop, RANK])
        for split, start, stop in zip(splits, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        if stop > start and not split.is_numbered
    ]
    numbered_splits = ManyJobs(name="numbering copies", pool=pool).run(asked, _Number(out=out))
    done = {split.index: split for split in numbered_splits}
    return [done.get(split.index, split) for split in splits]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copies:
    """Exact copies in a split: their rows in order, and the number of copies before each."""

    split: StoredSplit
    rows: np.ndarray
    ranks: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Number:
    """Writes the parts that hold copies anew, under other names until the split's record says so."""

    out: Storage

    def __call__(self, copies: _Copies) -> StoredSplit:
        parts = list(self._parts(copies))
        old = {part.file for part in copies.split.parts} - {part.file for part in parts}
        done = copies.split.model_copy(update={"parts": tuple(parts), "is_numbered": True})
        done.write(self.out)
        for file in old:
            self.out.delete(file)
        return done

    def _parts(self, copies: _Copies) -> Iterator[Part]:
        first = 0
        for part in copies.split.parts:
            start, stop = np.searchsorted(copies.rows, [first, first + part.num_rows])
            if stop > start:
                table = read_checked(self.out, part.file, part.checksum)
                new = _numbered(table, copies.rows[start:stop] - first, copies.ranks[start:stop])
                yield write_part_file(self.out, part.file.replace(".arrow", "-numbered.arrow"), new)
            else:
                yield part
            first += part.num_rows


def _numbered(table: pa.Table, rows: np.ndarray, ranks: np.ndarray) -> pa.Table:
    ids = table["id"].to_pylist()
    for row, rank in zip(rows.tolist(), ranks.tolist(), strict=True):
        ids[row] = numbered(ids[row], rank)
    return with_ids(table, ids)
