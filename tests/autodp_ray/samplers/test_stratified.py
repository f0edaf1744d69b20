"""Stratified samples, and what holds for a sample by any method: strata, groups, order, size."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.samplers.base import Sampler
from autodp_ray.samplers.embedding_clusters import cluster_rows
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, unit
from autodp_ray.samplers.herding import HerdingSampler
from autodp_ray.samplers.paper import PaperSampler
from autodp_ray.samplers.random import RandomSampler, sample_random
from autodp_ray.samplers.registry import SAMPLERS
from autodp_ray.samplers.stratified import StratifiedSampler, sample_stratified
from autodp_ray.samplers.units import Units
from autodp_ray.sampling.sampler import draw_sample

METHODS = tuple(sampler.model_validate({}) for sampler in SAMPLERS.values())


def blobs(sizes: list[int], *, dim: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around far-apart centres, and the centre of each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = 3 * unit(rng.normal(size=(len(sizes), dim)))
    return (centres[labels] + 0.1 * rng.normal(size=(len(labels), dim))).astype(np.float32), labels


def _ids(count: int) -> list[str]:
    return [f"row-{at}" for at in range(count)]


def test_every_cluster_gives_its_share_and_small_ones_are_not_lost() -> None:
    sizes = [400, 300, 200, 80, 15, 4, 1]
    rows, labels = blobs(sizes)
    found = sample_stratified(EmbeddingMatrix.of_array(rows), Units.of_rows(np.arange(1000)), 200)
    counts = np.bincount(labels[found], minlength=7)
    assert len(found) == 200
    assert counts.min() >= 1
    assert np.abs(counts - np.array(sizes) / 5).max() <= 4


def test_a_cluster_of_groups_alone_is_not_lost() -> None:
    rows, labels = blobs([300, 8], dim=6)
    groups = np.concatenate([np.arange(300), np.repeat([1000, 1001], 4)])
    found = draw_sample(
        _ids(308), groups, SamplingConfig(method=StratifiedSampler()), embeddings=EmbeddingMatrix.of_array(rows)
    )
    assert (labels[found] == 1).sum() == 4


@settings(max_examples=40)
@given(
    st.sampled_from(METHODS),
    st.lists(st.integers(0, 40), max_size=80),
    st.floats(0.05, 1.0),
    st.integers(0, 3),
    st.booleans(),
)
def test_buckets_of_any_size_give_their_share(
    method: Sampler, groups: list[int], rate: float, num_strata: int, whole: bool
) -> None:
    rng = np.random.default_rng(len(groups))
    matrix = EmbeddingMatrix.of_array(rng.normal(size=(len(groups), 6)).astype(np.float32))
    strata = rng.integers(0, num_strata, len(groups)) if num_strata else None
    config = SamplingConfig(method=method, rate=rate, whole_groups=whole)
    found = draw_sample(_ids(len(groups)), np.array(groups, dtype=np.int64), config, embeddings=matrix, strata=strata)
    assert found.tolist() == sorted(set(found.tolist()))
    if not whole and method.needs_embeddings:
        assert len(found) == (min(len(groups), max(1, round(rate * len(groups)))) if groups else 0)


@settings(max_examples=40)
@given(st.sampled_from(METHODS), st.integers(0, 10**6), st.booleans())
def test_row_order_changes_nothing(method: Sampler, seed: int, whole: bool) -> None:
    rows, _ = blobs([40, 30, 10], seed=seed)
    rows[20:] = np.tile(rows[:20], (3, 1))  # copies, in other groups too
    ids, groups = _ids(80), np.arange(80) // 2
    groups[40:] = np.arange(100, 140)
    strata = np.arange(80) % 3
    config = SamplingConfig(method=method, whole_groups=whole)
    drawn = draw_sample(ids, groups, config, embeddings=EmbeddingMatrix.of_array(rows), strata=strata)
    order = list(range(80))
    Random(seed).shuffle(order)
    again = draw_sample(
        [ids[at] for at in order],
        groups[order],
        config,
        embeddings=EmbeddingMatrix.of_array(rows[order]),
        strata=strata[order],
    )
    assert {ids[order[at]] for at in again} == {ids[at] for at in drawn}


@pytest.mark.parametrize("method", METHODS)
def test_clean_and_noisy_rows_keep_their_shares(method: Sampler) -> None:
    rows, _ = blobs([150, 100])
    noisy = np.arange(250) % 10 < 3
    config = SamplingConfig(method=method, whole_groups=False)
    found = draw_sample(_ids(250), np.arange(250), config, embeddings=EmbeddingMatrix.of_array(rows), strata=noisy)
    assert (len(found), int(noisy[found].sum())) == (50, 15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("noisy_rows", [slice(0), slice(1), slice(None)])
def test_a_bucket_may_be_empty_or_a_single_row(method: Sampler, noisy_rows: slice) -> None:
    rows, _ = blobs([30, 20])
    noisy = np.zeros(50, dtype=bool)
    noisy[noisy_rows] = True
    config = SamplingConfig(method=method, whole_groups=False)
    found = draw_sample(_ids(50), np.arange(50), config, embeddings=EmbeddingMatrix.of_array(rows), strata=noisy)
    assert abs(len(found) - 10) <= (1 if not method.needs_embeddings else 0)


@pytest.mark.parametrize("method", METHODS)
def test_copies_of_which_one_is_noisy_are_drawn_together_and_both_shares_stay(method: Sampler) -> None:
    rows, _ = blobs([240, 160])
    groups, noisy = np.arange(400) // 2, np.arange(400) % 4 == 0  # every other pair has one noisy row
    config = SamplingConfig(method=method)
    found = draw_sample(_ids(400), groups, config, embeddings=EmbeddingMatrix.of_array(rows), strata=noisy)
    assert len(found) == 80
    assert set(np.unique(groups[found], return_counts=True)[1].tolist()) == {2}
    assert int(noisy[found].sum()) == 20


@pytest.mark.parametrize("method", [HerdingSampler(), StratifiedSampler()])
def test_a_group_too_large_to_be_all_or_nothing_gives_its_share(method: Sampler) -> None:
    rows, _ = blobs([100, 100])
    groups = np.concatenate([np.zeros(100, dtype=np.int64), np.arange(1, 101)])
    found = draw_sample(_ids(200), groups, SamplingConfig(method=method), embeddings=EmbeddingMatrix.of_array(rows))
    assert len(found) == 40
    assert (found < 100).sum() == 20


@pytest.mark.parametrize("method", [HerdingSampler(), StratifiedSampler(), PaperSampler()])
def test_small_groups_are_drawn_whole(method: Sampler) -> None:
    rows, _ = blobs([90, 60])
    groups = np.arange(150) // 3
    found = draw_sample(_ids(150), groups, SamplingConfig(method=method), embeddings=EmbeddingMatrix.of_array(rows))
    assert set(np.unique(groups[found], return_counts=True)[1].tolist()) == {3}
    assert abs(len(found) - 30) <= 3


def test_random_is_the_sampler_that_it_was() -> None:
    groups = np.arange(200) // 2
    config = SamplingConfig(method=RandomSampler(), seed=3)
    expected = sample_random(_ids(200), groups, rate=0.2, seed=3)
    assert draw_sample(_ids(200), groups, config).tolist() == expected.tolist()


def test_a_method_without_embeddings_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an embedding"):
        draw_sample(_ids(5), np.arange(5), SamplingConfig(method=HerdingSampler()))


def test_clusters_find_the_blobs_from_either_start() -> None:
    rows, labels = blobs([50, 30, 20, 3])
    matrix = EmbeddingMatrix.of_array(rows)
    for start in ("farthest", "random"):
        found = cluster_rows(matrix, np.arange(103), 4, start=start, seed=1)
        pairs = set(zip(found.tolist(), labels.tolist(), strict=True))
        assert len(pairs) == len({cluster for cluster, _ in pairs})  # no cluster holds two blobs
        assert np.array_equal(found, cluster_rows(matrix, np.arange(103), 4, start=start, seed=1))


def test_clusters_are_told_for_the_rows_in_the_order_given() -> None:
    rows, labels = blobs([30, 20])
    order = np.random.default_rng(0).permutation(50)[:35]
    found = cluster_rows(EmbeddingMatrix.of_array(rows), order, 2)
    assert len(set(zip(found.tolist(), labels[order].tolist(), strict=True))) == 2
    assert cluster_rows(EmbeddingMatrix.of_array(rows), order[:0], 2).tolist() == []
