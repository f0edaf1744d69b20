"""What is embedded and screened for a sample is bounded however large the dataset; its size does not depend on that."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix
from autodp_ray.sampling.row_embedding import EmbeddedTable
from autodp_ray.sampling.sampler import draw_candidates, draw_sample, of_candidates
from autodp_ray.sampling.search_sample import RowModels, draw_search_sample
from tests.autodp_ray.preparation.stored_rows import train_rows
from tests.autodp_ray.run_fakes import make_config, records

SETTINGS = st.builds(
    SamplingConfig,
    rate=st.floats(0.01, 1.0),
    max_rows=st.integers(1, 200),
    oversampling=st.floats(1.0, 6.0),
    seed=st.integers(0, 3),
)


class CountingEmbedder:
    """Vectors by content; knows how many rows it was given."""

    def __init__(self) -> None:
        self.num_rows = 0

    def __call__(self, table: pa.Table) -> EmbeddedTable:
        self.num_rows += table.num_rows
        texts = table["question"].to_pylist()
        seeds = [int(hashlib.sha256(str(text).encode()).hexdigest()[:8], 16) for text in texts]
        vectors = np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds], dtype=np.float32)
        matrix = EmbeddingMatrix.of_array(vectors.reshape(-1, 8))
        return EmbeddedTable(matrix=matrix, requested=len(texts), executed=len(texts))


class NoisyScreener:
    """Finds every row noisy whose question ends in 7; knows how many rows it was shown."""

    def __init__(self) -> None:
        self.num_rows = 0

    def needs_work(self, table: pa.Table) -> np.ndarray:
        self.num_rows += table.num_rows
        return np.array([str(text).endswith("7") for text in table["question"].to_pylist()], dtype=bool)


def ids_of(num_rows: int) -> list[str]:
    return [f"row-{at}" for at in range(num_rows)]


@given(st.integers(1, 400), SETTINGS)
def test_candidates_are_as_many_as_asked_for_and_the_sample_as_large_as_without_them(
    num_rows: int, config: SamplingConfig
) -> None:
    ids, groups = ids_of(num_rows), np.arange(num_rows)
    size = min(max(1, round(config.rate * num_rows)), config.max_rows)
    found = draw_candidates(ids, groups, config)
    if found is None:
        assert round(config.oversampling * size) >= num_rows
        return
    assert len(found) == round(config.oversampling * size) < num_rows
    assert len(set(found.tolist())) == len(found)
    vectors = np.random.default_rng(0).normal(size=(len(found), 4)).astype(np.float32)
    drawn = draw_sample(
        [ids[row] for row in found],
        np.arange(len(found)),
        of_candidates(config, len(found), num_rows),
        embeddings=EmbeddingMatrix.of_array(vectors),
    )
    assert len(drawn) == size


def test_candidates_depend_on_no_order_of_the_rows_and_cut_no_group() -> None:
    config = SamplingConfig(rate=0.05, oversampling=4)
    ids, groups = ids_of(300), np.repeat(np.arange(100), 3)
    found = draw_candidates(ids, groups, config)
    assert found is not None
    kept = set(groups[found].tolist())
    assert all((groups[found] == group).sum() == 3 for group in kept)
    order = np.random.default_rng(1).permutation(300)
    again = draw_candidates([ids[row] for row in order], groups[order], config)
    assert again is not None
    assert {ids[row] for row in found} == {ids[order[row]] for row in again}


@pytest.mark.parametrize(
    ("sampling", "embedded", "drawn"),
    [({}, 500, 100), ({"rate": 0.02}, 100, 10), ({"rate": 0.02, "oversampling": 3}, 30, 10)],
)
def test_only_candidates_are_embedded_and_screened(sampling: dict[str, object], embedded: int, drawn: int) -> None:
    config = make_config("data.jsonl", sampling={"method": "stratified", **sampling})
    embed, screener = CountingEmbedder(), NoisyScreener()
    rows = records([f"question number {at}" for at in range(500)])
    sample = draw_search_sample(train_rows(rows), config, RowModels(embed=embed, screener=screener))  # type: ignore[arg-type]
    assert (embed.num_rows, screener.num_rows, sample.table.num_rows) == (embedded, embedded, drawn)
    assert sample.num_noisy == sum(text.endswith("7") for text in sample.table["question"].to_pylist())


@pytest.mark.parametrize("method", ["random", "stratified"])
def test_a_sample_has_at_most_so_many_rows(method: str) -> None:
    config = make_config("data.jsonl", sampling={"method": method, "max_rows": 12, "rate": 0.5})
    rows = records([f"question number {at}" for at in range(200)])
    sample = draw_search_sample(train_rows(rows), config, RowModels(embed=CountingEmbedder()))
    assert sample.table.num_rows == 12
