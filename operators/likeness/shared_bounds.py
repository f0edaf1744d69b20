"""At most how many members the sets of two rows share, for rows that are compared again and again.

A row has one bit for all members that are equal in some bits of their hashes. Of the members of two sets behind one bit
no more are shared than one, and what the smaller set has there beyond one. So with the bits a and b, |A and B| is at
most popcount(a & b) + min(|A| - popcount(a), |B| - popcount(b)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from operators.likeness.hashed_sets import HashedSets
from operators.texts.text import Int64, UInt64

MIN_COMPARISONS = 8
"""Of a row until it gets bits."""
MAX_ROWS = 1 << 16
"""Rows that have bits at a time; these take 512 bytes each."""
PAIRS_AT_ONCE = 512
"""So that what is computed of their bits stays in the processor's cache."""
_HASH_BITS = 12
_ROUNDING = 1e-6

Bool = npt.NDArray[np.bool_]


class SharedBounds:
    """Sorts out pairs of N rows by bits, which only rows get that are in many pairs."""

    def __init__(self, sets: Sequence[HashedSets]) -> None:
        """Members count as different from set to set; there are at most two sets."""
        self._sets = sets
        self._sizes = np.sum([part.sizes for part in sets], axis=0)
        self._comparisons = np.zeros(len(self._sizes), dtype=np.int32)
        self._places = np.full(len(self._sizes), -1, dtype=np.int32)
        self._num_placed = 0
        self._bits = np.zeros((min(len(self._sizes), MAX_ROWS), (1 << _HASH_BITS) // 64), dtype=np.uint64)

    def may_reach(self, threshold: float, left: Int64, right: Int64) -> Bool:
        """Mask of the pairs whose Jaccard similarity may be that high."""
        for rows in (left, right):
            np.add.at(self._comparisons, rows, 1)
        found = np.ones(len(left), dtype=bool)
        pairs = np.flatnonzero(np.minimum(self._comparisons[left], self._comparisons[right]) > MIN_COMPARISONS)
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            some = pairs[start : start + PAIRS_AT_ONCE]
            rows = np.stack([left[some], right[some]])
            shared = self._most_shared(rows)
            found[some] = shared + _ROUNDING >= threshold * (self._sizes[rows].sum(axis=0) - shared)
        return found

    def _most_shared(self, rows: Int64) -> Int64:
        """At most how many members each pair [2, P] shares [P]."""
        self._place(rows)
        bits = self._bits[self._places[rows]]
        beyond = self._sizes[rows] - np.bitwise_count(bits).sum(axis=2, dtype=np.int64)
        most: Int64 = np.bitwise_count(bits[0] & bits[1]).sum(axis=1, dtype=np.int64) + beyond.min(axis=0)
        return most

    def _place(self, rows: Int64) -> None:
        """Makes the bits of the rows that have none; where there is no room, all others are forgotten."""
        new = np.unique(rows[self._places[rows] < 0])
        if self._num_placed + len(new) > len(self._bits):
            self._places[:] = -1
            self._num_placed, new = 0, np.unique(rows)
        end = self._num_placed + len(new)
        self._bits[self._num_placed : end] = self._bits_of(new)
        self._places[new] = np.arange(self._num_placed, end)
        self._num_placed = end

    def _bits_of(self, rows: Int64) -> UInt64:
        is_set = np.zeros((len(rows), 1 << _HASH_BITS), dtype=bool)
        for number, part in enumerate(self._sets):
            taken = part.take(rows)
            owners = np.repeat(np.arange(len(rows)), taken.sizes)
            is_set[owners, (taken.values >> np.uint32(number * _HASH_BITS)) % (1 << _HASH_BITS)] = True
        bits: UInt64 = np.packbits(is_set, axis=1).view(np.uint64)
        return bits
