"""Tells whether a new text is a near-copy of one that exists, without holding or comparing the texts themselves.

A text is a MinHash signature of its character shingles: `NUM_HASHES` numbers of 16 bits, 256 bytes whatever its length,
language or word separator. Equal numbers in two signatures estimate the Jaccard similarity of the shingle sets; only
signatures that agree on a whole band are compared. Knows no rows and no model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from operators.likeness.near_duplicates import minhash
from operators.texts.text import MULTIPLIER, UInt32, scramble, split_units

NUM_HASHES = 128
BAND_WIDTH = 4
"""Four 16-bit numbers make a 64-bit key. A pair of similarity 0.6 meets in some band with probability 0.99."""
_SHINGLE_CHARS = 4
_PAIRS_AT_ONCE = 100_000

Signatures = NDArray[np.uint16]
"""[N, NUM_HASHES]."""


def signatures_of(texts: Sequence[str]) -> Signatures:
    """The signatures of texts, [N, NUM_HASHES]; case, spacing and punctuation do not matter."""
    shingles = [_shingles(text) for text in texts]
    offsets = np.cumsum([0, *(len(part) for part in shingles)], dtype=np.int64)
    together = np.concatenate(shingles) if shingles else np.empty(0, dtype=np.uint32)
    return minhash(together, offsets, num_perm=NUM_HASHES, seed=0).astype(np.uint16)


def distinct(signatures: Signatures) -> Signatures:
    """The distinct signatures, in an order of their own."""
    return np.unique(signatures, axis=0)


def closest_similarity(candidates: Signatures, existing: Sequence[Signatures]) -> NDArray[np.float32]:
    """The highest estimated similarity of each candidate to any existing text, [C]; 0 where no band agrees."""
    unique, position = np.unique(candidates, axis=0, return_inverse=True)
    best = np.zeros(len(unique), dtype=np.float32)
    for block in existing:
        for band in range(NUM_HASHES // BAND_WIDTH):
            rows, others = _band_matches(unique, block, band)
            for start in range(0, len(rows), _PAIRS_AT_ONCE):
                left, right = rows[start : start + _PAIRS_AT_ONCE], others[start : start + _PAIRS_AT_ONCE]
                np.maximum.at(best, left, similarity(unique[left], block[right]))
    return best[position.reshape(-1)]


def similarity(left: Signatures, right: Signatures) -> NDArray[np.float32]:
    """The estimated Jaccard similarity of signatures, one by one along the first axis."""
    return np.asarray((left == right).mean(axis=-1), dtype=np.float32)


def _band_matches(left: Signatures, right: Signatures, band: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs (row of left, row of right) that agree on a band."""
    keys, others = _band_keys(left, band), _band_keys(right, band)
    order = np.argsort(keys, kind="stable")
    first = np.searchsorted(keys[order], others, side="left")
    num_matches = np.searchsorted(keys[order], others, side="right") - first
    matched = np.repeat(np.arange(len(others)), num_matches)
    step = np.arange(num_matches.sum()) - np.repeat(np.cumsum(num_matches) - num_matches, num_matches)
    return order[first[matched] + step], matched


def _band_keys(signatures: Signatures, band: int) -> NDArray[np.uint64]:
    columns = signatures[:, band * BAND_WIDTH : (band + 1) * BAND_WIDTH]
    return np.ascontiguousarray(columns).view(np.uint64).reshape(-1)


def _shingles(text: str) -> UInt32:
    """A hash of every window of characters; characters, so that one changed word in eight leaves a near-copy."""
    padded = f" {' '.join(split_units(text))} ".ljust(_SHINGLE_CHARS)
    chars = np.frombuffer(padded.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(chars, _SHINGLE_CHARS)
    hashes = np.zeros(len(windows), dtype=np.uint64)
    for offset in range(_SHINGLE_CHARS):
        hashes = scramble(hashes * MULTIPLIER + windows[:, offset])
    return (hashes >> np.uint64(32)).astype(np.uint32)
