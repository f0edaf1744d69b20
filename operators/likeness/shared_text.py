"""Text that many rows share, as templates, instructions and passages are: found by how many like rows hold a shingle.

Where many rows are alike as wholes, two things may be the case. Copies that were edited lack here and there what the
others have: text was replaced. Rows of a template have all of it, and their own text besides: then they are compared by
their own text alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.likeness.hashed_sets import HashedSets
from operators.texts.text import Int64, UInt64

MIN_ROWS = 6
"""Of fewer like rows it is not said whether they follow a template: they are compared by all that they have."""
MAX_LOST = 0.25
"""Shingles of most rows that a row lacks, for each shingle of its own, from which on rows are edited copies.

A replaced word takes three shingles away and brings three; a template loses none.
"""

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnText:
    """N rows' sets, cut in what many like rows share and what they do not."""

    reduced: Bool
    """The rows that are compared by their own text [N]."""
    own: HashedSets
    shared: HashedSets
    """Empty for the other rows."""


def template_rows(parts: tuple[HashedSets, ...], clusters: Int64) -> Bool:
    """Mask [N] of the rows whose cluster, of rows alike as wholes, follows a template; `parts` are their sets."""
    _, cluster, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(sizes[cluster] >= MIN_ROWS)
    lost, added = np.zeros(len(sizes), dtype=np.int64), np.zeros(len(sizes), dtype=np.int64)
    for part in parts:
        held = _Held.by(part.take(rows), cluster[rows])
        common = held.num_rows * 2 > sizes[held.clusters]
        in_common = np.bincount(held.clusters[common], weights=held.num_rows[common], minlength=len(sizes))
        lost += np.bincount(held.clusters[common], minlength=len(sizes)) * sizes - in_common.astype(np.int64)
        added += np.bincount(held.clusters[~common], weights=held.num_rows[~common], minlength=len(sizes)).astype(int)
    found: Bool = (sizes >= MIN_ROWS) & (lost < MAX_LOST * added)
    return found[cluster]


def own_text(sets: HashedSets, clusters: Int64, reduced: Bool) -> OwnText:
    """The sets cut in two; only those of the reduced rows have something to share, within their cluster."""
    rows = np.flatnonzero(reduced)
    held = _Held.by(sets.take(rows), clusters[rows])
    is_shared = np.zeros(len(sets.values), dtype=bool)
    is_shared[np.repeat(reduced, sets.sizes)] = (held.num_rows >= MIN_ROWS)[held.places]
    return OwnText(reduced=reduced, own=sets.only(~is_shared), shared=sets.only(is_shared))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The distinct (cluster, shingle) pairs, and how many rows of the cluster hold the shingle."""

    clusters: Int64
    num_rows: Int64
    places: Int64
    """Of the pair of each member of each row's set."""

    @classmethod
    def by(cls, sets: HashedSets, clusters: Int64) -> _Held:
        owners: UInt64 = np.repeat(clusters, sets.sizes).astype(np.uint64)
        pairs, places, counts = np.unique(
            (owners << np.uint64(32)) | sets.values, return_inverse=True, return_counts=True
        )
        return cls(clusters=(pairs >> np.uint64(32)).astype(np.int64), num_rows=counts, places=places)
