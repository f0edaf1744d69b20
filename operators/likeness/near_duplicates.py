"""Groups of near-duplicate texts: MinHash sketches, LSH candidates, exact Jaccard, transitive closure.

Knows texts, not records. Sketches of parts merge by concatenation, so a worker can sketch its own rows and one place
can group them all. Groups do not depend on row order: every candidate pair comes from the texts alone.

Source: Broder, On the resemblance and containment of documents (1997); banding: Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.likeness.hashed_sets import HashedSets
from operators.likeness.pair_joiner import AlikeRule, Bool, PairJoiner
from operators.likeness.prefix_filter import PrefixEntries, contained_entries, fewest_pairs, prefix_entries
from operators.texts.normal_form import normalise
from operators.texts.text import MULTIPLIER, Int64, UInt32, UInt64, scramble, shingle, text_keys

ROWS_PER_CHUNK = 2048
SHINGLES_PER_CHUNK = 1 << 16
ROWS_IN_CACHE = 256
"""So that what is computed of their signatures stays in the processor's cache."""
LARGE_BUCKET = 64
"""Rows of a bucket from which on only those are paired that share a rare shingle (prefix_filter.py)."""
SMALL_FRAME = 16
"""Rows of equal frames up to which all their pairs are looked at."""
MAX_MISS = 1e-3
"""Largest accepted probability that banding misses a pair that lies exactly at the threshold."""

_ENDS = (
    (np.minimum, np.uint32, 0),
    (np.maximum, np.uint32, 0xFFFFFFFF),
    (np.minimum, np.int32, 0x80000000),
    (np.maximum, np.int32, 0x7FFFFFFF),
)
"""Where numbers of a type end, and the mask under which the number there is the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSketches:
    """What grouping needs of N texts, about the size of the texts plus 4 bytes per permutation."""

    keys: UInt64
    """Key of the normalised text [N]; 0 marks an empty text, which is alike to nothing."""
    signatures: UInt32
    """MinHash values [N, num_perm]."""
    shingles: UInt32
    """Sorted distinct shingle hashes of all texts, one after the other."""
    offsets: Int64
    """Where each text's shingles start [N + 1]."""


def near_duplicate_groups(
    texts: Sequence[str | None], *, threshold: float = 0.8, num_perm: int = 128, seed: int = 0
) -> Int64:
    """Group label of every text as int64 [N]: the lowest row index of its group.

    Texts are alike when the Jaccard similarity of their shingles is at least `threshold`; groups are the transitive
    closure. An exact copy always joins; an empty or null text stays alone.
    """
    return group_sketches(sketch_texts(pa.array(texts, pa.large_string()), num_perm=num_perm, seed=seed), threshold)


def sketch_texts(texts: pa.Array, *, num_perm: int = 128, seed: int = 0) -> TextSketches:
    """The sketches of the texts; each depends on its own text and the parameters alone."""
    parts = []
    for start in range(0, max(len(texts), 1), ROWS_PER_CHUNK):
        chunk = texts.slice(start, ROWS_PER_CHUNK)
        normalised = normalise(chunk)
        shingles, offsets = shingle(normalised)
        signatures = minhash(shingles, offsets, num_perm=num_perm, seed=seed)
        keys = text_keys(chunk, normalised)
        parts.append(TextSketches(keys=keys, signatures=signatures, shingles=shingles, offsets=offsets))
    return merge_sketches(parts)


def merge_sketches(parts: Sequence[TextSketches]) -> TextSketches:
    """The sketches of several parts as those of one, in the order given."""
    starts = np.cumsum([0, *(len(part.shingles) for part in parts)])
    ends = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
    return TextSketches(
        keys=np.concatenate([part.keys for part in parts]),
        signatures=np.concatenate([part.signatures for part in parts]),
        shingles=np.concatenate([part.shingles for part in parts]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), *ends]),
    )


def minhash(shingles: UInt32, offsets: Int64, *, num_perm: int, seed: int) -> UInt32:
    """MinHash signatures [N, num_perm] of sets of well-mixed hashes; all ones for an empty set.

    A permutation is a product with an odd number modulo 2^32, then an exclusive or with one of four masks: the least
    values under all four are where the products are least and greatest, as unsigned and as signed numbers.
    """
    rng = np.random.default_rng([0x6D696E68, seed])
    num_factors = -(-num_perm // len(_ENDS))
    factors = rng.integers(0, 1 << 31, size=num_factors, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    masks = np.repeat(np.array([mask for _, _, mask in _ENDS], dtype=np.uint32), num_factors)[:num_perm]
    signatures = np.full((len(offsets) - 1, num_perm), np.iinfo(np.uint32).max, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    starts = offsets[:-1][filled]
    pieces = np.flatnonzero(np.diff(starts // SHINGLES_PER_CHUNK, prepend=-1, append=-1))
    for low, high in pairwise(pieces.tolist()):
        rows, cuts = filled[low:high], starts[low:high] - starts[low]
        chunk = shingles[starts[low] : offsets[rows[-1] + 1]]
        products, found = np.empty_like(chunk), np.empty((num_perm, len(rows)), dtype=np.uint32)
        for number in range(num_factors):  # the products of a chunk stay in the processor's cache
            np.multiply(chunk, factors[number], out=products)
            for (end, kind, _), values in zip(_ENDS, found[number::num_factors], strict=False):
                end.reduceat(products.view(kind), cuts, out=values.view(kind))
        signatures[rows] = (found ^ masks[:, None]).T
    return signatures


def band_size(threshold: float, num_perm: int) -> int:
    """The most rows a band may have so that a pair at the threshold is missed with probability at most MAX_MISS."""
    for rows in range(num_perm, 1, -1):
        if (1 - threshold**rows) ** (num_perm // rows) <= MAX_MISS:
            return rows
    return 1


def group_sketches(sketches: TextSketches, threshold: float = 0.8) -> Int64:
    """Group label of every sketched text as int64 [N]: the lowest row index of its group."""
    sets = HashedSets(values=sketches.shingles, offsets=sketches.offsets)
    candidates = Candidates(
        signatures=sketches.signatures, sizes=sets.sizes, frames=np.zeros_like(sketches.keys), sets=(sets,)
    )
    return label_groups(sketches.keys, candidates, JaccardRule(sets=sets, threshold=threshold))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What finds the pairs of N rows that are worth comparing."""

    signatures: UInt32
    """MinHash values [N, num_perm]."""
    sizes: Int64
    """Members of the set that a signature stands for [N]; a row with none is alike to nothing but its exact copies."""
    frames: UInt64
    """Only rows with equal numbers here are compared [N]."""
    sets: Sequence[HashedSets]
    """What a signature stands for: the union of each row's sets, whose members count as different from set to set."""
    alike_in_each: bool = False
    """Whether alike rows reach the threshold in each of the sets that is not empty, and not only in their union."""
    contained: Sequence[HashedSets] = ()
    """Sets of which one of two alike rows has all that the other has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JaccardRule:
    """Rows are alike when the Jaccard similarity of their sets reaches the threshold."""

    sets: HashedSets
    threshold: float

    def __call__(self, left: Int64, right: Int64) -> Bool:
        found: Bool = jaccard(self.sets, left, right) >= self.threshold
        return found


def jaccard(sets: HashedSets, left: Int64, right: Int64) -> npt.NDArray[np.float64]:
    """Exact Jaccard similarity of each pair's sets; 0 for two empty ones."""
    shared = sets.num_shared(left, right)
    similarity: npt.NDArray[np.float64] = shared / np.maximum(sets.sizes_of(left) + sets.sizes_of(right) - shared, 1)
    return similarity


def label_groups(keys: UInt64, candidates: Candidates, alike: AlikeRule, *, variants: UInt64 | None = None) -> Int64:
    """Group label of every row as int64 [N], the lowest row index of its group, for the transitive closure of `alike`.

    Rows with equal keys are exact copies and always join, and the one of the lowest variant is compared for them all; a
    row with the key 0 stays alone.
    """
    num_rows = len(keys)
    labels = np.arange(num_rows, dtype=np.int64)
    filled = np.flatnonzero(keys)
    first, copy_of = stand_ins(keys[filled], None if variants is None else variants[filled])
    roots = _Groups(candidates, filled[first], alike).closed()[copy_of]
    lowest = np.full(len(first), num_rows, dtype=np.int64)
    np.minimum.at(lowest, roots, filled)
    labels[filled] = lowest[roots]
    return labels


def stand_ins(keys: UInt64, variants: UInt64 | None = None) -> tuple[Int64, Int64]:
    """The row that stands for all of each key, the first of the lowest variant, and for each row [N] which it is."""
    order = np.argsort(keys, kind="stable") if variants is None else np.lexsort((variants, keys))
    is_first = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    stands_for = np.empty(len(keys), dtype=np.int64)
    stands_for[order] = np.cumsum(is_first) - 1
    return order[is_first], stands_for


class _Groups:
    """The distinct rows, joined band by band."""

    def __init__(self, candidates: Candidates, rows: Int64, alike: AlikeRule) -> None:
        self._rows = rows
        self._candidates = candidates
        self._frames = candidates.frames[rows]
        self._threshold = alike.threshold
        self._joiner = PairJoiner(signatures=candidates.signatures, sets=candidates.sets, rows=rows, alike=alike)

    def closed(self) -> Int64:
        """The root of every distinct row, after all bands."""
        signatures = self._candidates.signatures
        bands = band_keys(signatures, band_size(self._threshold, signatures.shape[1]))[self._rows]
        bands ^= scramble(self._frames)[:, None]
        usable = np.flatnonzero(self._candidates.sizes[self._rows])
        _, frame, counts = np.unique(self._frames[usable], return_inverse=True, return_counts=True)
        others = counts[frame] - 1
        self._join_in_frames(usable[(others > 0) & (others < SMALL_FRAME)], bands)
        self._join_in_bands(usable[others >= SMALL_FRAME], bands)
        return self._joiner.roots()

    def _join_in_frames(self, members: Int64, bands: UInt64) -> None:
        """All pairs of each frame that share a band: where there are few, they need not be found band by band."""
        members = members[np.argsort(self._frames[members])]
        for left, right in self._joiner.neighbours(members, self._frames[members]):
            worth = (bands[left] == bands[right]).any(axis=1)
            self._joiner.join(left[worth], right[worth])

    def _join_in_bands(self, members: Int64, bands: UInt64) -> None:
        for band in range(bands.shape[1] if len(members) else 0):
            buckets = bands[members, band]
            order = np.argsort(buckets)  # within a bucket any order gives the same groups
            for left, right in self._pairs(members[order], buckets[order]):
                new = ~(bands[left, :band] == bands[right, :band]).any(axis=1)
                self._joiner.join(left[new], right[new])

    def _pairs(self, members: Int64, buckets: UInt64) -> Iterator[tuple[Int64, Int64]]:
        """Pairs that share a bucket, in pieces; of large buckets only those that can reach the threshold."""
        sizes = np.diff(np.flatnonzero(np.diff(buckets, prepend=~buckets[:1])), append=len(buckets))
        has_company = np.repeat(sizes > 1, sizes)
        members, buckets, sizes = members[has_company], buckets[has_company], sizes[sizes > 1]
        is_large = np.repeat(sizes > LARGE_BUCKET, sizes)
        yield from self._joiner.neighbours(members[~is_large], buckets[~is_large])
        members, buckets = members[is_large], buckets[is_large]
        is_open = self._joiner.in_open_bucket(members, buckets)
        if not is_open.any():
            return
        members, buckets = members[is_open], buckets[is_open]
        yield from self._joiner.with_like_entries(members, self._entries(self._rows[members], buckets))

    def _entries(self, rows: Int64, buckets: UInt64) -> PrefixEntries:
        """What says which rows of large buckets can be alike, in each bucket by whatever leaves the fewest pairs."""
        sets = [part.take(rows) for part in self._candidates.sets]
        ways = [(prefix_entries(sets, buckets, self._threshold), np.ones(len(rows), dtype=bool))]
        if self._candidates.alike_in_each:
            ways += [_way_of(part, buckets, self._prefixes_alone) for part in sets]
        ways += [_way_of(part.take(rows), buckets, contained_entries) for part in self._candidates.contained]
        return fewest_pairs(ways, buckets) if len(ways) > 1 else ways[0][0]

    def _prefixes_alone(self, part: HashedSets, buckets: UInt64) -> PrefixEntries:
        return prefix_entries([part], buckets, self._threshold)


def _way_of(
    sets: HashedSets, buckets: UInt64, entries_of: Callable[[HashedSets, UInt64], PrefixEntries]
) -> tuple[PrefixEntries, Bool]:
    """The entries of the rows whose set holds something, and which rows these are."""
    filled = sets.sizes > 0
    some = np.flatnonzero(filled)
    entries = entries_of(sets.take(some), buckets[some])
    return replace(entries, owners=some[entries.owners]), filled


def band_keys(signatures: UInt32, size: int) -> UInt64:
    """One 64-bit key per text and band of `size` rows [N, bands]; equal keys share a bucket."""
    num_bands = signatures.shape[1] // size
    keys = np.zeros((len(signatures), num_bands), dtype=np.uint64)
    for start in range(0, len(signatures), ROWS_IN_CACHE):
        piece, some = keys[start : start + ROWS_IN_CACHE], signatures[start : start + ROWS_IN_CACHE]
        for row in range(size):
            piece[:] = scramble(piece * MULTIPLIER + some[:, row : num_bands * size : size])
    return keys
