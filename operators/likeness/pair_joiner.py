"""Union-find over rows, fed with candidate pairs: those that pass a rule are joined.

What is joined already is not compared again, and most unlike pairs are sorted out by their signatures. Knows no texts,
and not where the pairs come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Protocol

import numpy as np
import numpy.typing as npt

from operators.likeness.hashed_sets import HashedSets
from operators.likeness.prefix_filter import PrefixEntries
from operators.likeness.shared_bounds import SharedBounds
from operators.texts.text import Int64, UInt32, UInt64

PAIRS_PER_CHUNK = 16384
SHINGLES_PER_VERIFICATION = 1 << 18
"""So that what is computed of them stays in the processor's cache."""
ESTIMATE_SIGMAS = 3.5
"""Candidates whose estimated similarity lies this many standard errors under the threshold are not verified."""
SHORT_SIGNATURE = 32
"""How many MinHash values sort out most of the unlike candidates before all are compared."""

Bool = npt.NDArray[np.bool_]


class AlikeRule(Protocol):
    """Says which pairs of rows are alike."""

    @property
    def threshold(self) -> float:
        """Jaccard similarity that the sets behind the signatures of alike rows reach."""

    def __call__(self, left: Int64, right: Int64) -> Bool:
        """Mask [P] of the pairs that are alike."""


class PairJoiner:
    """Groups of M of the rows that signatures, sets and rule know; a pair is two numbers below M."""

    def __init__(self, *, signatures: UInt32, sets: Sequence[HashedSets], rows: Int64, alike: AlikeRule) -> None:
        """`signatures` [N, num_perm] and `sets` are those of all rows; `rows` [M] says which are to be joined."""
        self._rows = rows
        self._signatures = signatures  # by row, not by member: a copy would double the largest array
        self._short_signatures = np.ascontiguousarray(signatures[:, :SHORT_SIGNATURE])
        self._sizes = np.sum([part.sizes_of(rows) for part in sets], axis=0)
        self._bounds = SharedBounds(sets)
        self._alike, self._threshold = alike, alike.threshold
        self._parents = np.arange(len(rows), dtype=np.int64)

    def neighbours(self, members: Int64, buckets: UInt64) -> Iterator[tuple[Int64, Int64]]:
        """Pairs that share a bucket, in pieces; members are sorted by bucket and paired at growing distance.

        Neighbours come first, since joining them mostly closes the bucket. Closed buckets are left out from there on.
        """
        waiting: list[tuple[Int64, Int64]] = []
        for distance in count(1):
            if distance.bit_count() == 1:
                open_rows = self.in_open_bucket(members, buckets)
                members, buckets = members[open_rows], buckets[open_rows]
            pairs = np.flatnonzero(buckets[distance:] == buckets[:-distance])
            waiting.append((members[pairs], members[pairs + distance]))
            if distance <= 2 or len(pairs) == 0 or sum(len(left) for left, _ in waiting) >= PAIRS_PER_CHUNK:
                left, right = (np.concatenate(side) for side in zip(*waiting, strict=True))
                for low in range(0, len(left), PAIRS_PER_CHUNK):
                    yield left[low : low + PAIRS_PER_CHUNK], right[low : low + PAIRS_PER_CHUNK]
                waiting = []
            if len(pairs) == 0:
                return

    def with_like_entries(self, members: Int64, entries: PrefixEntries) -> Iterator[tuple[Int64, Int64]]:
        """Pairs that the entries call for, in pieces; `members` are the rows by the entries' owners.

        The early ones join most of what belongs together, so late ones meet nobody where that has closed their token.
        """
        early = np.flatnonzero(entries.is_early)
        yield from self.neighbours(members[entries.owners[early]], entries.tokens[early])
        entries = entries.only(self.in_open_bucket(members[entries.owners], entries.tokens))
        for late, other in entries.late_pairs():
            yield members[entries.owners[late]], members[entries.owners[other]]

    def in_open_bucket(self, members: Int64, buckets: UInt64) -> Bool:
        """Mask of members whose bucket still holds more than one group."""
        return in_open_bucket(self._roots_of(members), buckets)

    def join(self, left: Int64, right: Int64) -> None:
        """Joins the pairs whose similarity reaches the threshold; signatures and bounds sort out most of the others."""
        is_apart = self._roots_of(left) != self._roots_of(right)
        small = np.minimum(self._sizes[left], self._sizes[right])
        large = np.maximum(self._sizes[left], self._sizes[right])
        worth = is_apart & (small >= self._threshold * large)
        left, right = left[worth], right[worth]
        for signatures in (self._short_signatures, self._signatures):
            estimates = (signatures[self._rows[left]] == signatures[self._rows[right]]).mean(axis=1)
            likely = estimates >= least_estimate(self._threshold, signatures.shape[1])
            left, right = left[likely], right[likely]
        possible = self._bounds.may_reach(self._threshold, self._rows[left], self._rows[right])
        left, right = left[possible], right[possible]
        pieces = np.cumsum(self._sizes[left] + self._sizes[right]) // SHINGLES_PER_VERIFICATION
        for cut in np.unique(pieces):
            piece = pieces == cut
            self._join_alike(left[piece], right[piece])

    def roots(self) -> Int64:
        """The root of every member, the lowest of its group [M]; flattens the forest."""
        while not np.array_equal(above := self._parents[self._parents], self._parents):
            self._parents = above
        return self._parents

    def _join_alike(self, left: Int64, right: Int64) -> None:
        alike = self._alike(self._rows[left], self._rows[right])
        for first, second in zip(left[alike].tolist(), right[alike].tolist(), strict=True):
            one, other = self._find(first), self._find(second)
            self._parents[max(one, other)] = min(one, other)

    def _find(self, index: int) -> int:
        parents = self._parents
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = int(parents[index])
        return index

    def _roots_of(self, members: Int64) -> Int64:
        """The roots of some members, which then lie right above them."""
        roots = self._parents[members]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[members] = roots
        return roots


def least_estimate(threshold: float, num_perm: int) -> float:
    """The share of equal MinHash values from which on a pair is compared by its sets."""
    return threshold - ESTIMATE_SIGMAS * float(np.sqrt(threshold * (1 - threshold) / num_perm))


def in_open_bucket(groups: Int64, buckets: UInt64) -> Bool:
    """Mask of the members, given by their groups and sorted by bucket, whose bucket holds more than one group."""
    if len(buckets) == 0:
        return np.zeros(0, dtype=bool)
    starts = np.flatnonzero(np.concatenate([[True], buckets[1:] != buckets[:-1]]))
    low, high = np.minimum.reduceat(groups, starts), np.maximum.reduceat(groups, starts)
    return np.repeat(low != high, np.diff(starts, append=len(buckets)))
