"""Distribution-preserving samples for the search: which rows to take, by the config's sampler.

Clean and noisy rows are sampled apart, so that the sample has as many noisy rows as the whole. Knows nothing of how
rows were grouped (row_groups.py), screened or embedded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.samplers.base import Bucket
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.samplers.quotas import largest_remainder, sample_size


def draw_sample(
    ids: Sequence[str],
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
    quotas = largest_remainder(sizes, sample_size(len(ids), config.rate))
    drawn = [
        config.method.draw(
            Bucket(
                ids=ids,
                groups=groups,
                rows=rows,
                quota=quota,
                rate=config.rate,
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
