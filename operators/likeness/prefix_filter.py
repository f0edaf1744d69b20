"""Which rows of a large bucket can reach a Jaccard similarity: those that share one of their rarest members.

Let the members of all sets have one order, the rarest first. Where the first member that two sets share stands at the
places p and q, at most min(n - p, m - q) members are shared, and p + q others are not. For a similarity of at least t
then p + q <= (n - p) (1 - t) / t, and the same with m - q: whoever stands further back than that allows is left out.
Nothing is lost, and rows that share long boilerplate, but have too much of their own, meet nobody.

Where of two alike rows one has all the members of the other, it has the other's rarest one: rows of which a word was
replaced meet nobody then either.

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
_FIELDS = ("owners", "tokens", "places", "limits")


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
        late, starts, counts = self._spans()
        pieces = np.cumsum(counts) // PAIRS_PER_CHUNK
        for piece in np.unique(pieces[counts > 0]):
            some = (pieces == piece) & (counts > 0)
            yield np.repeat(late[some], counts[some]), runs(starts[some], counts[some])

    def num_pairs(self, buckets: Int64, num_buckets: int) -> Int64:
        """How many pairs there are in each bucket, that of each row given by its number."""
        late, _, counts = self._spans()
        total = np.bincount(buckets[self.owners[late]], weights=counts, minlength=num_buckets)
        _, firsts, sizes = np.unique(self.tokens[self.is_early], return_index=True, return_counts=True)
        of_token = buckets[self.owners[self.is_early][firsts]]
        return np.bincount(of_token, weights=sizes * (sizes - 1) / 2, minlength=num_buckets) + total

    def only(self, kept: npt.NDArray[np.bool_]) -> PrefixEntries:
        """Some of the entries."""
        return PrefixEntries(
            owners=self.owners[kept], tokens=self.tokens[kept], places=self.places[kept], limits=self.limits[kept]
        )

    def _spans(self) -> tuple[Int64, Int64, Int64]:
        """The late entries, and of each where the early ones that it meets start, and how many they are."""
        late = np.flatnonzero(~self.is_early)
        _, firsts, buckets = np.unique(self.tokens, return_index=True, return_inverse=True)
        width = int(self.places.max(initial=0)) + 1
        ends = np.searchsorted(buckets * width + self.places, buckets[late] * width + self.limits[late], side="right")
        starts = firsts[buckets[late]]
        return late, starts, ends - starts


def prefix_entries(
    parts: Sequence[HashedSets], buckets: UInt64, threshold: float, *, slots: Int64 | None = None
) -> PrefixEntries:
    """The entries of M rows, each with the union of its sets in `parts`; rows of other buckets [M] are not compared.

    Where these are not all rows that will be compared, `slots` are the counts of the members of all rows: the order is
    then the same everywhere.
    """
    owners, tokens = _tokens(parts, buckets)
    distinct, kinds, counts = np.unique(tokens, return_inverse=True, return_counts=True)
    counts = counts if slots is None else slots[_slots_of(distinct)]
    order = _rarest_first(owners, kinds, counts)
    owners, tokens, frequencies = owners[order], tokens[order], counts[kinds[order]]
    sizes = np.bincount(owners, minlength=len(buckets))
    places = np.arange(len(owners), dtype=np.int64) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    left = np.repeat(sizes, sizes) - places
    limits = np.floor(left * (1 - threshold) / threshold + _ROUNDING).astype(np.int64) - places
    kept = np.flatnonzero((limits >= 0) & (frequencies > 1))
    kept = kept[np.lexsort((places[kept], tokens[kept]))]
    return PrefixEntries(owners=owners[kept], tokens=tokens[kept], places=places[kept], limits=limits[kept])


def contained_entries(sets: HashedSets, buckets: UInt64) -> PrefixEntries:
    """Entries for rows of which one has all the members of the other: then it has the rarest one of the other, too.

    A row's rarest member is early, and all its others are late. No set may be empty.
    """
    owners, tokens = _tokens((sets,), buckets)
    _, kinds, counts = np.unique(tokens, return_inverse=True, return_counts=True)
    order = _rarest_first(owners, kinds, counts)
    is_rarest = np.zeros(len(owners), dtype=bool)
    is_rarest[order[np.cumsum(sets.sizes) - sets.sizes]] = True
    asked = np.bincount(kinds[is_rarest], minlength=len(counts)) > 0
    kept = np.flatnonzero(asked[kinds] & (counts[kinds] > 1))
    kept = kept[np.lexsort((~is_rarest[kept], tokens[kept]))]
    early = is_rarest[kept].astype(np.int64)
    return PrefixEntries(owners=owners[kept], tokens=tokens[kept], places=1 - early, limits=early)


def _rarest_first(owners: Int64, kinds: Int64, counts: Int64) -> Int64:
    """The order of members by owner, the rarest first; which kind each is [E], and how many there are of each kind."""
    ranks = np.empty(len(counts), dtype=np.int64)
    ranks[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    return np.argsort(owners * len(counts) + ranks[kinds])


def fewest_pairs(ways: Sequence[tuple[PrefixEntries, npt.NDArray[np.bool_]]], buckets: UInt64) -> PrefixEntries:
    """Of several ways to pair M rows, for each bucket the entries of the one with the fewest pairs.

    Each way says of which rows it knows something; a bucket with others is not its own.
    """
    _, bucket = np.unique(buckets, return_inverse=True)
    num_buckets = int(bucket.max(initial=-1)) + 1
    costs = []
    for entries, known in ways:
        cost = entries.num_pairs(bucket, num_buckets).astype(np.float64)
        cost[bucket[~known]] = np.inf
        costs.append(cost)
    best = np.argmin(np.stack(costs), axis=0)
    chosen = [entries.only(best[bucket[entries.owners]] == way) for way, (entries, _) in enumerate(ways)]
    joined = {name: np.concatenate([getattr(one, name) for one in chosen]) for name in _FIELDS}
    order = np.lexsort((joined["places"], joined["tokens"]))
    return PrefixEntries(**{name: values[order] for name, values in joined.items()})


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
