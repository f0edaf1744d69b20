"""Distribution-preserving samples for the search: which rows to take, by the config's sampler.

Clean and noisy rows are sampled apart, so that the sample has as many noisy rows as the whole. Knows nothing of how
rows were grouped (row_groups.py), screened or embedded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.samplers.base import Bucket
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.samplers.quotas import largest_remainder, sample_size
from operators.rows.record import id_array


def draw_candidates(ids: Sequence[str] | pa.Array, groups: np.ndarray, config: SamplingConfig) -> np.ndarray | None:
    """Row indices among which a sample that looks at rows is chosen, ascending; None where that is all rows.

    Drawn at random, in whole groups where the sample is: up to `config.oversampling` times the rows of the sample.
    """
    wanted = round(config.oversampling * _num_drawn(len(ids), config))
    if wanted >= len(ids):
        return None
    if not config.whole_groups:
        groups = np.arange(len(ids))
    every = Bucket(
        ids=id_array(ids),
        groups=groups,
        rows=np.arange(len(ids)),
        quota=wanted,
        rate=wanted / len(ids),
        seed=config.seed,
        whole_groups=config.whole_groups,
        embeddings=None,
    )
    rows, units, quota = every.without_large_groups()
    num_units = int(np.searchsorted(np.cumsum(units.sizes), quota, side="right"))
    return np.sort(np.concatenate([rows, units.members[: units.starts[num_units]]]))


def of_candidates(config: SamplingConfig, num_candidates: int, num_rows: int) -> SamplingConfig:
    """The settings that draw from some of `num_rows` rows as many as the config draws from all."""
    return config.model_copy(update={"rate": min(1.0, _num_drawn(num_rows, config) / max(1, num_candidates))})


def _num_drawn(num_rows: int, config: SamplingConfig) -> int:
    return min(sample_size(num_rows, config.rate), config.max_rows)


def draw_sample(
    ids: Sequence[str] | pa.Array,
    groups: np.ndarray,
    config: SamplingConfig,
    *,
    embeddings: EmbeddingMatrix | None = None,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Row indices of a sample, ascending, int64 [n], by the config's method; the same rows for any order of the rows.

    `groups` are int64 [N]. `strata` [N] holds a label per row, such as the screener's verdict: each label is sampled
    apart, with its share of the rows. A group that is drawn whole counts under its largest label, as noisy if any of
    its rows is. Rows of `embeddings` are in the order of `ids`; `random` needs none.
    """
    if not config.whole_groups:
        groups = np.arange(len(ids))
    labels = np.zeros(len(ids), dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    if config.whole_groups:
        labels = _largest_of_group(labels, groups)
    buckets = [np.flatnonzero(labels == label) for label in range(int(labels.max(initial=-1)) + 1)]
    sizes = np.array([len(rows) for rows in buckets], dtype=np.int64)
    num_drawn = _num_drawn(len(ids), config)
    is_capped = num_drawn < sample_size(len(ids), config.rate)
    quotas = largest_remainder(sizes, num_drawn)
    drawn = [
        config.method.draw(
            Bucket(
                ids=id_array(ids),
                groups=groups,
                rows=rows,
                quota=quota,
                rate=num_drawn / len(ids) if is_capped else config.rate,
                seed=config.seed,
                whole_groups=config.whole_groups,
                embeddings=embeddings,
            )
        )
        for rows, quota in zip(buckets, quotas.tolist(), strict=True)
    ]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *drawn]))


def _largest_of_group(labels: Int64, groups: Int64) -> Int64:
    """The largest label in each row's group [N]."""
    _, group = np.unique(groups, return_inverse=True)
    largest = np.zeros(len(labels), dtype=np.int64)
    np.maximum.at(largest, group, labels)
    found: Int64 = largest[group]
    return found
