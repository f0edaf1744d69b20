"""Text that many rows share, as templates, instructions and passages are: found by how many rows hold a shingle.

A shingle is shared where more rows hold it than `shared_from` says. Where shared shingles make up half of a row's text
or more, the row is compared by the rest. Below half they cannot make two rows alike by themselves, and nothing is left
out: common phrases stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.hashed_sets import HashedSets
from operators.text import Int64

MIN_ROWS = 20
"""Fewer rows that have a text in common may be copies of one another: it is not taken for shared."""
ROWS_FRAC = 0.002
"""Share of the rows from which on a shingle is shared; in a large dataset every common phrase is in many rows."""
MIN_FRAC = 0.5
"""Share of shared shingles from which on a row is compared by the rest of its shingles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnText:
    """N rows' sets and what is left of them without shared text."""

    reduced: npt.NDArray[np.bool_]
    """The rows that are compared without it [N]."""
    sets: HashedSets
    """Every row's set without it."""
    counted: HashedSets
    """What each row is found by: the same for the reduced rows, all that they have for the others."""


def shared_from(num_rows: int) -> int:
    """In how many distinct rows a shingle must be to count as shared."""
    return max(MIN_ROWS, int(num_rows * ROWS_FRAC))


def own_text(sets: HashedSets, distinct: Int64) -> OwnText:
    """The rows' sets without what many of the distinct rows share."""
    values = np.sort(sets.take(distinct).values)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else values
    counts = np.diff(starts, append=len(values))
    common = values[starts[counts >= shared_from(len(distinct))]] if len(values) else values
    if len(common) == 0:
        return OwnText(reduced=np.zeros(len(sets.offsets) - 1, dtype=bool), sets=sets, counted=sets)
    places = np.minimum(np.searchsorted(common, sets.values), len(common) - 1)
    is_own = common[places] != sets.values
    own = sets.only(is_own)
    reduced = (own.sizes < sets.sizes) & (own.sizes <= (1 - MIN_FRAC) * sets.sizes)
    counted = sets.only(is_own | ~np.repeat(reduced, sets.sizes))
    return OwnText(reduced=reduced, sets=own, counted=counted)
