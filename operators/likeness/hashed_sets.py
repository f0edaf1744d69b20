"""Sets of 32-bit hashes, one for each row, in two flat arrays.

Knows what the sets of two rows have in common, and no texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.texts.text import MULTIPLIER, Int64, UInt32, UInt64, scramble

_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedSets:
    """The sets of N rows."""

    values: UInt32
    """The distinct members of all sets, one set after the other."""
    offsets: Int64
    """Where each row's set starts [N + 1]."""

    @property
    def sizes(self) -> Int64:
        """Members of each row's set [N]."""
        return np.diff(self.offsets)

    def sizes_of(self, rows: Int64) -> Int64:
        """Members of the sets of some rows."""
        sizes: Int64 = self.offsets[rows + 1] - self.offsets[rows]
        return sizes

    @property
    def keys(self) -> UInt64:
        """A number for each row's set: equal sets have equal ones [N]."""
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(scramble(self.values.astype(np.uint64)))])
        keys: UInt64 = sums[self.offsets[1:]] - sums[self.offsets[:-1]]
        return keys

    def only(self, kept: npt.NDArray[np.bool_]) -> HashedSets:
        """The sets without the values that are not kept; the mask is over `values`."""
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kept)])
        return HashedSets(values=self.values[kept], offsets=before[self.offsets])

    def take(self, rows: Int64) -> HashedSets:
        """The sets of some rows, in the order given."""
        sizes = self.sizes_of(rows)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        return HashedSets(values=self.values[runs(self.offsets[rows], sizes)], offsets=offsets)

    def num_shared(self, left: Int64, right: Int64) -> Int64:
        """How many members the sets of each pair of rows have in common [P]."""
        members = np.sort(np.concatenate([self._by_pair(left), self._by_pair(right)]))
        twice = members[1:][members[1:] == members[:-1]] >> _HALF
        counts: Int64 = np.bincount(twice.astype(np.int64), minlength=len(left))
        return counts

    def _by_pair(self, rows: Int64) -> UInt64:
        """Pair number << 32 | member for every member of each pair's row."""
        sizes = self.sizes_of(rows)
        pairs = np.repeat(np.arange(len(rows), dtype=np.int64), sizes)
        members = self.values[runs(self.offsets[rows], sizes)]
        owned: UInt64 = (pairs.astype(np.uint64) << _HALF) | members
        return owned


def merge_sets(parts: Sequence[HashedSets]) -> HashedSets:
    """The sets of several parts as those of one, in the order given."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.values) for part in parts)])
    ends = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
    return HashedSets(
        values=np.concatenate([np.zeros(0, dtype=np.uint32), *(part.values for part in parts)]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), *ends]),
    )


def sets_of(rows: Int64, hashes: UInt64, *, num_rows: int) -> HashedSets:
    """The set of each row from (row, hash) pairs in any order; of each 64-bit hash the upper half counts."""
    owned = np.sort((rows.astype(np.uint64) << _HALF) | (hashes >> _HALF))
    owned = owned[np.flatnonzero(np.diff(owned, prepend=~owned[:1]))]
    bounds = np.arange(num_rows + 1, dtype=np.uint64) << _HALF
    return HashedSets(
        values=(owned & _LOW_HALF).astype(np.uint32), offsets=np.searchsorted(owned, bounds).astype(np.int64)
    )


def numbered(rows: Int64, hashes: UInt64) -> tuple[Int64, UInt64]:
    """(row, hash) pairs whose hashes also say which occurrence in its row each is, so that sets of them are bags."""
    order = np.lexsort((hashes, rows))
    return numbered_in_order(rows[order], hashes[order])


def numbered_in_order(rows: Int64, hashes: UInt64) -> tuple[Int64, UInt64]:
    """The same of pairs of which equal ones stand together."""
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (rows[1:] != rows[:-1]) | (hashes[1:] != hashes[:-1])
    places = np.arange(len(rows), dtype=np.int64)
    occurrence = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return rows, scramble(hashes + occurrence.astype(np.uint64) * MULTIPLIER)


def runs(starts: Int64, sizes: Int64) -> Int64:
    """Every place of the runs that start there and are that long."""
    skipped = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    places: Int64 = np.arange(int(sizes.sum()), dtype=np.int64) + skipped
    return places
