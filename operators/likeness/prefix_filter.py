"""Which rows of a large bucket can reach a Jaccard similarity: those that share one of their rarest members.

Let the members of all sets have one order, the rarest first. Where the first member that two sets share stands at the
places p and q, at most min(n - p, m - q) members are shared, and p + q others are not. For a similarity of at least t
then p + q <= (n - p) (1 - t) / t, and the same with m - q: whoever stands further back than that allows is left out.
Nothing is lost, and rows that share long boilerplate, but have too much of their own, meet nobody.

Source: Chaudhuri, Ganti and Kaushik, A primitive operator for similarity joins in data cleaning (2006), for prefixes;
Xiao, Wang, Lin and Yu, Efficient similarity joins for near duplicate detection (2008), for places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.likeness.hashed_sets import HashedSets, runs
from operators.texts.text import MULTIPLIER, Int64, UInt64, scramble

PAIRS_PER_CHUNK = 16384
NUM_SLOTS = 1 << 18
"""Into which members are counted where there are too many to count each."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixEntries:
    """E members of sets that may be the first one shared with another set, sorted by token and place."""

    owners: Int64
    """Whose set it is [E]."""
    tokens: UInt64
    """A number of the member and its bucket [E]; only sets with equal ones are worth comparing."""
    places: Int64
    """Where it stands in its set's order [E]."""
    limits: Int64
    """How far back it may stand in the other set [E]."""

    @property
    def is_early(self) -> npt.NDArray[np.bool_]:
        """Mask [E]: those that may be paired with their like. Two that are late never can."""
        mask: npt.NDArray[np.bool_] = self.places <= self.limits
        return mask

    def late_pairs(self) -> Iterator[tuple[Int64, Int64]]:
        """Pairs of a late entry and an early one that stands far enough in front, in pieces."""
        late = np.flatnonzero(~self.is_early)
        _, firsts, buckets = np.unique(self.tokens, return_index=True, return_inverse=True)
        width = int(self.places.max(initial=0)) + 1
        ends = np.searchsorted(buckets * width + self.places, buckets[late] * width + self.limits[late], side="right")
        starts = firsts[buckets[late]]
        counts = ends - starts
        pieces = np.cumsum(counts) // PAIRS_PER_CHUNK
        for piece in np.unique(pieces[counts > 0]):
            some = (pieces == piece) & (counts > 0)
            yield np.repeat(late[some], counts[some]), runs(starts[some], counts[some])


def prefix_entries(
    parts: Sequence[HashedSets], buckets: UInt64, threshold: float, *, slots: Int64 | None = None
) -> PrefixEntries:
    """The entries of M rows, each with the union of its sets in `parts`; rows of other buckets [M] are not compared.

    Where these are not all rows that will be compared, `slots` are the counts of the members of all rows: the order is
    then the same everywhere.
    """
    owners, tokens = _tokens(parts, buckets)
    if slots is None:
        _, kinds, counts = np.unique(tokens, return_inverse=True, return_counts=True)
        frequencies = counts[kinds]
    else:
        frequencies = slots[_slots_of(tokens)]
    order = np.lexsort((tokens, frequencies, owners))
    owners, tokens, frequencies = owners[order], tokens[order], frequencies[order]
    sizes = np.bincount(owners, minlength=len(buckets))
    places = np.arange(len(owners), dtype=np.int64) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    left = np.repeat(sizes, sizes) - places
    limits = np.floor(left * (1 - threshold) / threshold + _ROUNDING).astype(np.int64) - places
    kept = np.flatnonzero((limits >= 0) & (frequencies > 1))
    kept = kept[np.lexsort((places[kept], tokens[kept]))]
    return PrefixEntries(owners=owners[kept], tokens=tokens[kept], places=places[kept], limits=limits[kept])


def slot_counts(parts: Sequence[HashedSets], buckets: UInt64) -> Int64:
    """How many members of the rows fall into each slot [NUM_SLOTS]; those of several parts add up."""
    counts: Int64 = np.bincount(_slots_of(_tokens(parts, buckets)[1]), minlength=NUM_SLOTS)
    return counts


def _slots_of(tokens: UInt64) -> Int64:
    return (tokens % np.uint64(NUM_SLOTS)).astype(np.int64)


def _tokens(parts: Sequence[HashedSets], buckets: UInt64) -> tuple[Int64, UInt64]:
    """The owner of every member of every set, and a number of the member, its part and the owner's bucket."""
    rows = np.arange(len(buckets), dtype=np.int64)
    owners = np.concatenate([np.repeat(rows, part.sizes) for part in parts])
    tagged = [part.values.astype(np.uint64) | (np.uint64(at) << np.uint64(32)) for at, part in enumerate(parts)]
    return owners, scramble(np.concatenate(tagged) + scramble(buckets)[owners] * MULTIPLIER)
