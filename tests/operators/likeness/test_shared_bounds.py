"""No pair that is as similar as asked for is sorted out by bits, and most of those that are far from it are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.likeness import shared_bounds
from operators.likeness.hashed_sets import HashedSets
from operators.likeness.shared_bounds import SharedBounds
from operators.texts.text import Int64


def _sets(rng: np.random.Generator, num_rows: int, size: int, kept: float) -> HashedSets:
    """Each row has some of the same members, and some of its own."""
    common = rng.integers(0, 1 << 32, size, dtype=np.uint32)
    rows = []
    for _ in range(num_rows):
        some = common[rng.random(size) < kept]
        rows.append(np.unique(np.append(some, rng.integers(0, 1 << 32, size - len(some), dtype=np.uint32))))
    return HashedSets(values=np.concatenate(rows), offsets=np.cumsum([0, *map(len, rows)]))


def _pairs(num_rows: int) -> tuple[Int64, Int64]:
    left, right = np.triu_indices(num_rows, k=1)
    return left, right


def _similarity(sets: tuple[HashedSets, HashedSets], left: Int64, right: Int64) -> np.ndarray:
    shared = sum(part.num_shared(left, right) for part in sets)
    return np.asarray(shared / (sum(part.sizes_of(left) + part.sizes_of(right) for part in sets) - shared))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([1, 8, 300, 3000]), kept=st.floats(0.7, 1))
def test_no_pair_that_reaches_the_threshold_is_sorted_out(seed: int, size: int, kept: float) -> None:
    """Whatever the size of the sets, and where rows lose their bits to others."""
    rng = np.random.default_rng(seed)
    sets = _sets(rng, 40, size, kept), _sets(rng, 40, size // 2, kept)
    left, right = _pairs(40)
    threshold = float(np.median(_similarity(sets, left, right)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shared_bounds, "MAX_ROWS", 16)
        patched.setattr(shared_bounds, "PAIRS_AT_ONCE", 8)
        bounds = SharedBounds(sets)
        for start in range(0, len(left), 100):
            some = slice(start, start + 100)
            reaching = _similarity(sets, left[some], right[some]) >= threshold
            assert bounds.may_reach(threshold, left[some], right[some])[reaching].all()


def test_rows_that_are_compared_often_are_compared_by_bits() -> None:
    sets = (_sets(np.random.default_rng(1), 60, 300, 0.8), _sets(np.random.default_rng(2), 60, 100, 0.8))
    left, right = _pairs(60)
    far = float(_similarity(sets, left, right).max()) + 0.1
    bounds = SharedBounds(sets)
    assert bounds.may_reach(far, left[:8], right[:8]).all()
    assert not bounds.may_reach(far, left, right).any()
