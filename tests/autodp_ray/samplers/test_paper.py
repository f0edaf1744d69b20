"""Equation 4 with windows picks what a direct implementation picks, whatever the signs of the cosines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodp_ray.samplers.embedding_matrix as embedding_matrix
import autodp_ray.samplers.paper as sampling_paper
from actors.data.stored_dataset import StoredDataset
from actors.models.embedder import as_arrow
from actors.storage.storage import Storage
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, unit
from autodp_ray.samplers.paper import sample_by_equation_4
from autodp_ray.samplers.residual_window import Cap
from autodp_ray.samplers.row_copies import RowCopies


def direct(rows: np.ndarray, count: int) -> list[int]:
    """Equation 4 word for word: O(n N D)."""
    vectors, free = unit(rows), np.ones(len(rows), dtype=bool)
    picked: list[int] = []
    for _ in range(count):
        gains = vectors @ vectors[free].sum(axis=0)
        gains[~free] = -np.inf
        picked.append(int(gains.argmax()))
        free[picked[-1]] = False
    return picked


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_matrix, "BLOCK_ROWS", 37)
    monkeypatch.setattr(sampling_paper, "INNER_ROWS", 5)


@pytest.mark.heavy
@pytest.mark.usefixtures("small_blocks")
def test_200_random_cases_with_cosines_of_both_signs_equal_the_direct_implementation() -> None:
    rng = np.random.default_rng(4)
    num_with_both_signs = 0
    for _ in range(200):
        num_rows, dim = int(rng.integers(3, 160)), int(rng.integers(2, 40))
        rows = rng.normal(size=(num_rows, dim)) + rng.choice([0.0, 0.5, 2.0]) * rng.normal(size=dim)
        rows = rows.astype(np.float32)
        count = int(rng.integers(1, num_rows - 1))
        window = int(rng.integers(4, 60))
        found = sample_by_equation_4(EmbeddingMatrix.of_array(rows), count, window_rows=window)
        assert found.rows.tolist() == direct(rows, count)
        cosines = unit(rows) @ unit(rows).T
        num_with_both_signs += bool(cosines.min() < -0.05 < 0.05 < np.triu(cosines, 1).max())
    assert num_with_both_signs > 100


def is_greedy(rows: np.ndarray, picked: list[int]) -> bool:
    """Whether every pick is one of the best of its turn, up to rounding: for rows with ties."""
    vectors, free = unit(rows), np.ones(len(rows), dtype=bool)
    for row in picked:
        gains = vectors @ vectors[free].sum(axis=0)
        if not free[row] or gains[row] < gains[free].max() - 1e-9 * len(rows):
            return False
        free[row] = False
    return True


_FEW_VALUES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
)


@given(_FEW_VALUES, st.integers(1, 9), st.data())
def test_with_copies_ties_and_zero_rows_every_pick_is_a_best_one(
    rows: np.ndarray, window: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(rows)))
    found = sample_by_equation_4(EmbeddingMatrix.of_array(rows), count, window_rows=window)
    assert len(set(found.rows.tolist())) == count
    assert is_greedy(rows, found.rows.tolist())


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_no_vector_of_a_cap_beats_its_bound(seed: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.normal(size=dim), rng.normal(size=dim)
    vectors = unit(rng.normal(size=(500, dim)))
    gains = vectors @ before
    height = float(np.quantile(gains, rng.random()))
    inside = vectors[gains <= height]
    bound = Cap.below(height, before).largest(after)
    assert (inside @ after).max() <= bound + 1e-9
    assert bound <= np.linalg.norm(after) + 1e-9


def test_an_empty_cap_has_no_largest_value() -> None:
    assert Cap.below(-np.inf, np.ones(3)).largest(np.ones(3)) == -np.inf


def test_a_window_saves_passes() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(6000, 64)) + rng.normal(size=64)).astype(np.float32)
    found = sample_by_equation_4(EmbeddingMatrix.of_array(rows), 1200, window_rows=500)
    assert found.num_passes < 20


def test_two_thousand_copies_take_no_pass_each() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 16)).astype(np.float32)
    rows[500:2500] = rows[0]
    found = sample_by_equation_4(EmbeddingMatrix.of_array(rows), 600, window_rows=50)
    assert found.num_passes < 60
    assert is_greedy(rows, found.rows.tolist())
    copies = [row for row in found.rows.tolist() if row == 0 or 500 <= row < 2500]
    assert copies == sorted(copies)


def test_only_eligible_rows_are_picked_and_only_they_pull() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(80, 6)).astype(np.float32)
    eligible = rng.random(80) < 0.5
    places = np.flatnonzero(eligible)
    found = sample_by_equation_4(EmbeddingMatrix.of_array(rows), 12, rows=places, window_rows=7)
    assert found.rows.tolist() == places[direct(rows[eligible], 12)].tolist()


def test_a_group_comes_whole_and_leaves_the_sum_whole() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(90, 8)).astype(np.float32)
    groups = np.arange(90) // 3
    found = sample_by_equation_4(EmbeddingMatrix.of_array(rows), 18, groups=groups, window_rows=6)
    assert len(found.rows) == 18
    assert all(count == 3 for count in np.unique(groups[found.rows], return_counts=True)[1])
    vectors, free, expected = unit(rows), np.ones(90, dtype=bool), []
    for _ in range(6):
        gains = vectors @ vectors[free].sum(axis=0)
        gains[~free] = -np.inf
        group = groups == groups[int(gains.argmax())]
        expected.append(int(groups[gains.argmax()]))
        free &= ~group
    assert groups[found.rows[::3]].tolist() == expected


@pytest.mark.parametrize("count", [0, 5, 500])
def test_buckets_of_any_size_work(count: int) -> None:
    nothing = EmbeddingMatrix.of_array(np.empty((0, 4), dtype=np.float32))
    assert sample_by_equation_4(nothing, count).rows.tolist() == []
    three = EmbeddingMatrix.of_array(np.eye(3, dtype=np.float32))
    assert len(sample_by_equation_4(three, count).rows) == min(count, 3)


def test_stored_parts_give_the_same_as_one_array(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).normal(size=(100, 12)).astype(np.float32)
    tables = [
        pa.table({"id": [f"{at}" for at in range(low, high)], "embedding": as_arrow(rows[low:high])})
        for low, high in ((0, 40), (40, 41), (41, 100))
    ]
    stored = EmbeddingMatrix.stored(StoredDataset.write(Storage.at(tmp_path / "embeddings"), tables))
    assert (stored.num_rows, stored.dim) == (100, 12)
    picks = np.array([99, 40, 0, 41, 40])
    assert np.array_equal(stored.take(picks), unit(rows[picks]))
    found = sample_by_equation_4(stored, 20, window_rows=9).rows
    assert found.tolist() == sample_by_equation_4(EmbeddingMatrix.of_array(rows), 20).rows.tolist()


def test_a_lead_is_the_first_free_copy() -> None:
    rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    copies = RowCopies(EmbeddingMatrix.of_array(rows), np.array([2, 0, 1, 3]))
    assert copies.leads(0, 5).tolist() == [1, 2]
    copies.take(np.array([0, 2]))
    assert copies.leads(0, 5).tolist() == [1, 3]
    copies.take(np.array([1, 3]))
    assert copies.leads(0, 5).tolist() == []
    assert copies.num_free == 0
