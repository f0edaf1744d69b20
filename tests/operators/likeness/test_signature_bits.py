"""Of the pairs that are compared by their sets, none is sorted out by the bits of its signatures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.likeness.pair_joiner import least_estimate
from operators.likeness.signature_bits import max_unlike_bits, may_be_joined, signature_bits


def _pair(num_perm: int, equal: int, seed: int) -> np.ndarray:
    """Two signatures with so many equal values, and others that differ in the bit that is looked at."""
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 1 << 32, num_perm, dtype=np.uint32)
    other = one.copy()
    other[rng.permutation(num_perm)[equal:]] ^= np.uint32(1)
    return np.stack([one, other])


@given(num_perm=st.integers(16, 300), threshold=st.floats(0.3, 1.0), seed=st.integers(0, 99))
def test_pairs_pass_from_the_estimate_on_from_which_they_are_compared(
    num_perm: int, threshold: float, seed: int
) -> None:
    fewest = max(0, int(np.ceil(least_estimate(threshold, num_perm) * num_perm - 1e-9)))
    for equal in {fewest, max(0, fewest - 1), num_perm}:
        bits = signature_bits(_pair(num_perm, equal, seed))
        mask = may_be_joined(
            bits, np.array([3, 5]), np.zeros(2, np.uint64), max_unlike=max_unlike_bits(threshold, num_perm)
        )
        assert mask.tolist() == [equal >= fewest] * 2


@pytest.mark.parametrize(
    ("groups", "buckets", "expected"),
    [
        ([1, 1], [0, 0], [False, False]),
        ([1, 2], [0, 1], [False, False]),
        ([1, 1, 2], [0, 0, 0], [True, True, True]),
        ([1, 1, 2, 3, 3], [0, 0, 0, 7, 7], [True, True, True, False, False]),
    ],
)
def test_only_members_of_other_groups_in_the_same_bucket_count(
    groups: list[int], buckets: list[int], expected: list[bool]
) -> None:
    bits = np.zeros((len(groups), 2), dtype=np.uint64)
    assert may_be_joined(bits, np.array(groups), np.array(buckets, np.uint64), max_unlike=0).tolist() == expected


def test_a_member_that_is_like_none_of_the_others_is_left_out() -> None:
    bits = np.array([[0], [0b1], [0b111111]], dtype=np.uint64)
    mask = may_be_joined(bits, np.arange(3), np.zeros(3, np.uint64), max_unlike=2)
    assert mask.tolist() == [True, True, False]
