"""Orders of keys are those of numpy, whatever the keys."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.likeness.key_order import run_sizes, stable_order

KEYS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 40),  # they differ in the bits that give way to the places
    st.integers(0, 5).map(lambda high: (high << 60) | 1),
)


@given(keys=st.lists(KEYS, max_size=200))
def test_the_order_is_numpys_stable_one(keys: list[int]) -> None:
    values = np.array(keys, dtype=np.uint64)
    assert stable_order(values).tolist() == np.argsort(values, kind="stable").tolist()


def test_many_mixed_keys_with_copies_are_ordered_like_numpy_does() -> None:
    values = np.random.default_rng(0).integers(0, 2**64, size=50_000, dtype=np.uint64)
    values[::3] = values[1::3][: len(values[::3])][::-1]
    before = values.copy()
    assert np.array_equal(stable_order(values), np.argsort(values, kind="stable"))
    assert np.array_equal(values, before)


@given(keys=st.lists(st.integers(0, 3), max_size=50))
def test_runs_are_as_long_as_keys_are_frequent(keys: list[int]) -> None:
    values = np.sort(np.array(keys, dtype=np.uint64))
    assert run_sizes(values).tolist() == np.unique(values, return_counts=True)[1].tolist()
