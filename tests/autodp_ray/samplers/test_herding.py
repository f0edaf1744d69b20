"""Herding equals its formula, keeps the mean, draws groups whole and in their share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodp_ray.samplers.herding as sampling_herding
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, unit
from autodp_ray.samplers.herding import sample_by_herding
from autodp_ray.samplers.quotas import largest_remainder, quotas_without_loss, sample_size
from autodp_ray.samplers.units import Units


def direct(rows: np.ndarray, count: int) -> list[int]:
    """argmax X (t m - sum of picked), word for word."""
    vectors = unit(rows)
    mean, picked = vectors.mean(axis=0), list[int]()
    for turn in range(1, count + 1):
        scores = vectors @ (turn * mean - vectors[picked].sum(axis=0))
        scores[picked] = -np.inf
        picked.append(int(scores.argmax()))
    return picked


def _rows(seed: int, num_rows: int = 120, dim: int = 10) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num_rows, dim)) + rng.normal(size=dim)).astype(np.float32)


def _gap(rows: np.ndarray, sample: np.ndarray) -> float:
    vectors = unit(rows)
    return float(np.linalg.norm(vectors.mean(axis=0) - vectors[sample].mean(axis=0)))


@pytest.mark.parametrize("seed", range(20))
def test_one_block_is_herding_word_for_word(seed: int) -> None:
    rows = _rows(seed)
    found = sample_by_herding(EmbeddingMatrix.of_array(rows), Units.of_rows(np.arange(len(rows))), 40)
    assert found.tolist() == direct(rows, 40)


def test_many_blocks_keep_the_mean_far_better_than_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_herding, "BLOCK_UNITS", 100)
    rows = _rows(0, 2000)[np.argsort(_rows(0, 2000)[:, 0])]  # sorted: every block looks different
    found = sample_by_herding(EmbeddingMatrix.of_array(rows), Units.of_rows(np.arange(2000)), 400)
    assert len(set(found.tolist())) == 400
    rng = np.random.default_rng(0)
    chance = np.mean([_gap(rows, rng.choice(2000, 400, replace=False)) for _ in range(20)])
    assert _gap(rows, found) < chance / 4


@given(st.lists(st.integers(0, 25), min_size=1, max_size=90), st.floats(0.05, 1.0), st.integers(0, 9))
def test_groups_come_whole_and_the_size_is_within_one_of_them(groups: list[int], rate: float, seed: int) -> None:
    rows = _rows(seed, len(groups), 5)
    labels = np.array(groups)
    target = sample_size(len(groups), rate)
    units = Units.of_groups(np.arange(len(groups)), labels)
    found = sample_by_herding(EmbeddingMatrix.of_array(rows), units, target)
    assert sorted(found.tolist()) == [row for row, group in enumerate(groups) if group in set(labels[found].tolist())]
    assert abs(len(found) - target) <= int(units.sizes.max())


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 9))
def test_single_rows_fill_the_quota_exactly(num_rows: int, target: int, seed: int) -> None:
    matrix = EmbeddingMatrix.of_array(_rows(seed, num_rows, 4))
    found = sample_by_herding(matrix, Units.of_rows(np.arange(num_rows)), target)
    assert len(found) == len(set(found.tolist())) == min(num_rows, target)


def test_groups_and_single_rows_are_drawn_in_their_shares() -> None:
    groups = np.concatenate([np.repeat(np.arange(100), 2), 1000 + np.arange(300)])
    units = Units.of_groups(np.arange(500), groups)
    found = sample_by_herding(EmbeddingMatrix.of_array(_rows(0, 500)), units, 100)
    assert (found < 200).sum() == 40
    assert len(found) == 100


_SIZES = st.lists(st.integers(0, 50), min_size=1, max_size=12).map(lambda sizes: np.array(sizes, dtype=np.int64))


@given(_SIZES, st.data())
def test_quotas_add_up_and_stay_within_one_of_their_shares(sizes: np.ndarray, data: st.DataObject) -> None:
    total = data.draw(st.integers(0, int(sizes.sum())))
    quotas = largest_remainder(sizes, total)
    assert quotas.sum() == total
    assert (quotas <= sizes).all()
    if sizes.sum():
        assert (np.abs(quotas - sizes * total / sizes.sum()) < 1).all()


@given(_SIZES, st.data())
def test_no_part_goes_without_where_there_are_seats_for_all(sizes: np.ndarray, data: st.DataObject) -> None:
    total = data.draw(st.integers(0, int(sizes.sum())))
    quotas = quotas_without_loss(sizes, total)
    assert quotas.sum() == total
    assert (quotas <= sizes).all()
    if total >= (sizes > 0).sum():
        assert (quotas[sizes > 0] > 0).all()


def test_largest_remainders_win_and_of_equal_ones_the_first() -> None:
    assert largest_remainder(np.array([50, 30, 20]), 7).tolist() == [4, 2, 1]
    assert largest_remainder(np.array([5, 5]), 5).tolist() == [3, 2]
    assert largest_remainder(np.array([0, 0]), 3).tolist() == [0, 0]


def test_units_keep_the_order_of_the_rows() -> None:
    units = Units.of_groups(np.array([7, 3, 9, 4, 8]), np.array([2, 1, 2, 0, 1]))
    assert [units.take(np.array([at])).members.tolist() for at in range(3)] == [[7, 9], [3, 8], [4]]
    assert units.take(np.array([2, 0])).members.tolist() == [4, 7, 9]
    assert units.take(np.empty(0, dtype=np.int64)).num_rows == 0
