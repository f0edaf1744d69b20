"""Groups of near-duplicate texts: MinHash sketches, LSH candidates, exact Jaccard, transitive closure.

Knows texts, not records. Sketches of parts merge by concatenation, so a worker can sketch its own rows and one place
can group them all. Groups do not depend on row order: every candidate pair comes from the texts alone.

Source: Broder, On the resemblance and containment of documents (1997); banding: Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.likeness.hashed_sets import HashedSets
from operators.likeness.prefix_filter import prefix_entries
from operators.texts.text import MULTIPLIER, Int64, UInt32, UInt64, normalise, scramble, shingle, text_keys

ROWS_PER_CHUNK = 8192
SHINGLES_PER_CHUNK = 1024
PAIRS_PER_CHUNK = 16384
LARGE_BUCKET = 64
"""Rows of a bucket from which on only those are paired that share a rare shingle (prefix_filter.py)."""
SHINGLES_PER_VERIFICATION = 1 << 21
MAX_MISS = 1e-3
"""Largest accepted probability that banding misses a pair that lies exactly at the threshold."""
ESTIMATE_SIGMAS = 3.5
"""Candidates whose estimated similarity lies this many standard errors under the threshold are not verified."""
SHORT_SIGNATURE = 32
"""How many MinHash values sort out most of the unlike candidates before all are compared."""

Bool = npt.NDArray[np.bool_]


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

    A permutation is a product with an odd number modulo 2^32, then an exclusive or.
    """
    rng = np.random.default_rng([0x6D696E68, seed])
    factors = rng.integers(0, 1 << 31, size=num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    masks = rng.integers(0, 1 << 32, size=num_perm, dtype=np.uint32)
    signatures = np.full((len(offsets) - 1, num_perm), np.iinfo(np.uint32).max, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    starts = offsets[:-1][filled]
    for low in range(0, len(shingles), SHINGLES_PER_CHUNK):
        chunk = shingles[low : low + SHINGLES_PER_CHUNK]
        first, last = np.searchsorted(starts, (low, low + len(chunk) - 1), side="right") - 1
        cuts = np.maximum(starts[first : last + 1] - low, 0)
        hashed = (chunk[:, None] * factors) ^ masks
        rows = filled[first : last + 1]
        signatures[rows] = np.minimum(signatures[rows], np.minimum.reduceat(hashed, cuts, axis=0))
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


class AlikeRule(Protocol):
    """Says which pairs of rows are alike."""

    @property
    def threshold(self) -> float:
        """Jaccard similarity that the sets behind the signatures of alike rows reach."""

    def __call__(self, left: Int64, right: Int64) -> Bool:
        """Mask [P] of the pairs that are alike."""


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
    sizes, shared = sets.sizes, sets.num_shared(left, right)
    similarity: npt.NDArray[np.float64] = shared / np.maximum(sizes[left] + sizes[right] - shared, 1)
    return similarity


def label_groups(keys: UInt64, candidates: Candidates, alike: AlikeRule) -> Int64:
    """Group label of every row as int64 [N], the lowest row index of its group, for the transitive closure of `alike`.

    Rows with equal keys are exact copies and always join; a row with the key 0 stays alone.
    """
    num_rows = len(keys)
    labels = np.arange(num_rows, dtype=np.int64)
    filled = np.flatnonzero(keys)
    _, first, copy_of = np.unique(keys[filled], return_index=True, return_inverse=True)
    roots = _Groups(candidates, filled[first], alike).closed()[copy_of]
    lowest = np.full(len(first), num_rows, dtype=np.int64)
    np.minimum.at(lowest, roots, filled)
    labels[filled] = lowest[roots]
    return labels


class _Groups:
    """Union-find over the distinct rows, fed band by band with candidates that pass verification."""

    def __init__(self, candidates: Candidates, rows: Int64, alike: AlikeRule) -> None:
        self._rows = rows
        self._signatures = candidates.signatures  # by row, not by text: a copy would double the largest array
        self._short_signatures = np.ascontiguousarray(self._signatures[:, :SHORT_SIGNATURE])
        self._frames = candidates.frames[rows]
        self._sizes = candidates.sizes[rows]
        self._sets = candidates.sets
        self._alike, self._threshold = alike, alike.threshold
        self._parents = np.arange(len(rows), dtype=np.int64)

    def closed(self) -> Int64:
        """The root of every distinct row, after all bands."""
        size = band_size(self._threshold, self._signatures.shape[1])
        bands = _band_keys(self._signatures, size)[self._rows]
        bands ^= scramble(self._frames)[:, None]
        usable = self._in_company(np.flatnonzero(self._sizes))
        for band in range(bands.shape[1]):
            buckets = bands[usable, band]
            order = np.argsort(buckets, kind="stable")
            for left, right in self._pairs(usable[order], buckets[order]):
                new = ~(bands[left, :band] == bands[right, :band]).any(axis=1)
                self._join_pairs(left[new], right[new])
        return self._roots()

    def _in_company(self, members: Int64) -> Int64:
        """The members whose frame has another member."""
        _, frame, counts = np.unique(self._frames[members], return_inverse=True, return_counts=True)
        kept: Int64 = members[counts[frame] > 1]
        return kept

    def _pairs(self, members: Int64, buckets: UInt64) -> Iterator[tuple[Int64, Int64]]:
        """Pairs that share a bucket, in pieces; of large buckets only those that can reach the threshold."""
        _, sizes = np.unique(buckets, return_counts=True)
        is_large = np.repeat(sizes > LARGE_BUCKET, sizes)
        yield from self._neighbours(members[~is_large], buckets[~is_large])
        members, buckets = members[is_large], buckets[is_large]
        is_open = self._in_open_bucket(members, buckets)
        if not is_open.any():
            return
        members = members[is_open]
        sets = [part.take(self._rows[members]) for part in self._sets]
        entries = prefix_entries(sets, buckets[is_open], self._threshold)
        early = np.flatnonzero(entries.is_early)
        yield from self._neighbours(members[entries.owners[early]], entries.tokens[early])
        for late, other in entries.late_pairs():
            yield members[entries.owners[late]], members[entries.owners[other]]

    def _neighbours(self, members: Int64, buckets: UInt64) -> Iterator[tuple[Int64, Int64]]:
        """Pairs that share a bucket, in pieces; members are sorted by bucket and paired at growing distance.

        Neighbours come first, since joining them mostly closes the bucket. Closed buckets are left out from there on.
        """
        waiting: list[tuple[Int64, Int64]] = []
        for distance in count(1):
            if distance.bit_count() == 1:
                open_rows = self._in_open_bucket(members, buckets)
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

    def _in_open_bucket(self, members: Int64, buckets: UInt64) -> Bool:
        """Mask of members whose bucket still holds more than one group."""
        if len(members) == 0:
            return np.zeros(0, dtype=bool)
        roots = self._roots_of(members)
        starts = np.flatnonzero(np.concatenate([[True], buckets[1:] != buckets[:-1]]))
        low, high = np.minimum.reduceat(roots, starts), np.maximum.reduceat(roots, starts)
        return np.repeat(low != high, np.diff(starts, append=len(buckets)))

    def _join_pairs(self, left: Int64, right: Int64) -> None:
        """Joins the pairs whose similarity reaches the threshold; the signature sorts out most of the others."""
        is_apart = self._roots_of(left) != self._roots_of(right)
        small = np.minimum(self._sizes[left], self._sizes[right])
        large = np.maximum(self._sizes[left], self._sizes[right])
        worth = is_apart & (small >= self._threshold * large)
        left, right = left[worth], right[worth]
        for signatures in (self._short_signatures, self._signatures):
            estimates = (signatures[self._rows[left]] == signatures[self._rows[right]]).mean(axis=1)
            margin = ESTIMATE_SIGMAS * np.sqrt(self._threshold * (1 - self._threshold) / signatures.shape[1])
            likely = estimates >= self._threshold - margin
            left, right = left[likely], right[likely]
        pieces = np.cumsum(self._sizes[left] + self._sizes[right]) // SHINGLES_PER_VERIFICATION
        for cut in np.unique(pieces):
            piece = pieces == cut
            self._join_alike(left[piece], right[piece])

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

    def _roots_of(self, rows: Int64) -> Int64:
        """The roots of some rows, which then lie right above them."""
        roots = self._parents[rows]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[rows] = roots
        return roots

    def _roots(self) -> Int64:
        """Every text's root; flattens the forest."""
        while not np.array_equal(above := self._parents[self._parents], self._parents):
            self._parents = above
        return self._parents


def _band_keys(signatures: UInt32, size: int) -> UInt64:
    """One 64-bit key per text and band of `size` rows [N, bands]; equal keys share a bucket."""
    num_bands = signatures.shape[1] // size
    keys = np.zeros((len(signatures), num_bands), dtype=np.uint64)
    for row in range(size):
        keys = scramble(keys * MULTIPLIER + signatures[:, row : num_bands * size : size])
    return keys
