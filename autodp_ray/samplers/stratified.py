"""The sampler `stratified`: as many rows from every k-means cluster as its share, and herding inside of it.

Small clusters keep at least one row where there are seats for all, so that no corner of the data is lost. The clusters
start from rows that are far from one another: a handful of outliers is a cluster and not the rim of a large one.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from autodp_ray.samplers.base import Bucket, Sampler
from autodp_ray.samplers.embedding_clusters import cluster_rows
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.samplers.herding import Herder
from autodp_ray.samplers.quotas import quotas_without_loss
from autodp_ray.samplers.units import Units

ROWS_PER_CLUSTER = 6
"""Sampled rows per cluster: fewer cannot be in proportion, more leave more to the herding."""
MAX_CLUSTERS = 512


class StratifiedSampler(Sampler):
    """Rows from every cluster of embeddings in its share, by herding inside; truest to the mix at many clusters."""

    packages: ClassVar[tuple[str, ...]] = ("sentence_transformers", "faiss")

    name: Literal["stratified"] = "stratified"

    def draw(self, bucket: Bucket) -> Int64:
        matrix = bucket.matrix
        large, units, quota = bucket.without_large_groups()
        return np.concatenate([large, sample_stratified(matrix, units, quota, seed=bucket.seed)])


def sample_stratified(matrix: EmbeddingMatrix, units: Units, num_rows: int, *, seed: int = 0) -> Int64:
    """Rows of whole units, near `num_rows` of them (exactly, where units are single rows)."""
    if len(units) == 0 or num_rows == 0:
        return np.empty(0, dtype=np.int64)
    num_clusters = max(1, min(MAX_CLUSTERS, num_rows // ROWS_PER_CLUSTER))
    leads = units.members[units.starts[:-1]]
    labels = cluster_rows(matrix, leads, num_clusters, seed=seed)
    by_label = np.argsort(labels, kind="stable")
    cuts = np.searchsorted(labels[by_label], np.arange(1, num_clusters))
    clusters = [units.take(part) for part in np.split(by_label, cuts)]
    quotas = quotas_without_loss(np.array([cluster.num_rows for cluster in clusters]), num_rows)
    return Herder(matrix=matrix).draw(clusters, quotas)
