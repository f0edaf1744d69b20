"""How much a sample is like the whole: cluster mix, kernel distance of the embeddings, share of duplicates.

The clusters are made here, from seeded random starts, and no sampler sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from autodp_ray.samplers.embedding_clusters import cluster_rows
from autodp_ray.samplers.embedding_matrix import BLOCK_ROWS, EmbeddingMatrix, Float64, Int64

NUM_CLUSTERS = (10, 20)
NUM_CLUSTERINGS = 5
NUM_FEATURES = 1024
BANDWIDTH_PAIRS = 4096
_CLUSTER_SEED, _FEATURE_SEED = 0x66696465, 0x6D6D64


class ClusterMix(BaseModel):
    """Sample against whole over k-means clusters, as means over the clusterings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_clusters: int
    total_variation: float
    """Half the sum of the differences of cluster shares, in [0, 1]."""
    lost_clusters: float
    """Clusters that have rows, but none in the sample."""
    lost_due_clusters: float
    """Those of them whose share of the sample is a row or more; smaller ones are a matter of luck."""


class Fidelity(BaseModel):
    """What a sample kept of the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mixes: tuple[ClusterMix, ...]
    mmd: float
    """Maximum mean discrepancy with an RBF kernel of median bandwidth, by random features; 0 is best."""
    duplicate_rate: float
    """Share of the sampled rows that are further members of a group of near-duplicates in the sample."""
    duplicate_rate_of_whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityMeter:
    """What all samples of one dataset are measured against; made once, by two passes per clustering."""

    clusterings: Sequence[tuple[int, Int64]]
    """(number of clusters, cluster of each row)."""
    features: RandomFeatures
    feature_mean: Float64
    matrix: EmbeddingMatrix
    groups: Int64

    @classmethod
    def of(
        cls,
        matrix: EmbeddingMatrix,
        groups: Int64,
        *,
        num_clusters: Sequence[int] = NUM_CLUSTERS,
        num_clusterings: int = NUM_CLUSTERINGS,
    ) -> FidelityMeter:
        rows = np.arange(matrix.num_rows)
        features = RandomFeatures.of(matrix)
        return cls(
            clusterings=[
                (count, cluster_rows(matrix, rows, count, start="random", seed=_CLUSTER_SEED + at))
                for count in num_clusters
                for at in range(num_clusterings)
            ],
            features=features,
            feature_mean=features.mean(matrix),
            matrix=matrix,
            groups=groups,
        )

    def measure(self, sample: Int64, *, within: Int64 | None = None) -> Fidelity:
        """The fidelity of a sample, given by its row indices; it must not be empty.

        With `within`, ascending rows that the sample was drawn from, the fidelity to those instead of all.
        """
        rows = np.arange(self.matrix.num_rows) if within is None else within
        whole_mean = self.feature_mean if within is None else self.features.mean(self.matrix, within)
        drawn = np.searchsorted(rows, sample)
        by_count: dict[int, list[Int64]] = {}
        for count, labels in self.clusterings:
            by_count.setdefault(count, []).append(labels[rows])
        return Fidelity(
            mixes=tuple(_mix(count, clusterings, drawn) for count, clusterings in by_count.items()),
            mmd=float(np.linalg.norm(self.features.mean(self.matrix, sample) - whole_mean)),
            duplicate_rate=duplicate_rate(self.groups[sample]),
            duplicate_rate_of_whole=duplicate_rate(self.groups[rows]),
        )


def mean_fidelity(measured: Sequence[Fidelity]) -> Fidelity:
    """The mean of every figure over several samples of one dataset."""
    mixes = [
        ClusterMix(
            num_clusters=of_one[0].num_clusters,
            total_variation=float(np.mean([mix.total_variation for mix in of_one])),
            lost_clusters=float(np.mean([mix.lost_clusters for mix in of_one])),
            lost_due_clusters=float(np.mean([mix.lost_due_clusters for mix in of_one])),
        )
        for of_one in zip(*(one.mixes for one in measured), strict=True)
    ]
    return Fidelity(
        mixes=tuple(mixes),
        mmd=float(np.mean([one.mmd for one in measured])),
        duplicate_rate=float(np.mean([one.duplicate_rate for one in measured])),
        duplicate_rate_of_whole=measured[0].duplicate_rate_of_whole,
    )


def total_variation(labels: Int64, sample: Int64) -> float:
    """Half the L1 distance between the label shares of all rows and of the sampled ones."""
    whole, drawn = _shares(labels, sample)
    return float(np.abs(whole - drawn).sum() / 2)


def num_lost(labels: Int64, sample: Int64, *, min_due: float = 0.0) -> int:
    """Labels that no sampled row has, though their share of the sample is at least `min_due` rows."""
    whole, drawn = _shares(labels, sample)
    return int(((whole > 0) & (whole * len(sample) >= min_due) & (drawn == 0)).sum())


def duplicate_rate(groups: Int64) -> float:
    """Share of the rows beyond the first of their group; 0 for no rows."""
    return 1 - len(np.unique(groups)) / len(groups) if len(groups) else 0.0


def _shares(labels: Int64, sample: Int64) -> tuple[Float64, Float64]:
    size = int(labels.max(initial=-1)) + 1
    return (
        np.bincount(labels, minlength=size) / max(1, len(labels)),
        np.bincount(labels[sample], minlength=size) / max(1, len(sample)),
    )


def _mix(num_clusters: int, clusterings: Sequence[Int64], sample: Int64) -> ClusterMix:
    return ClusterMix(
        num_clusters=num_clusters,
        total_variation=float(np.mean([total_variation(labels, sample) for labels in clusterings])),
        lost_clusters=float(np.mean([num_lost(labels, sample) for labels in clusterings])),
        lost_due_clusters=float(np.mean([num_lost(labels, sample, min_due=1.0) for labels in clusterings])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFeatures:
    """Random Fourier features of an RBF kernel: their inner products approximate the kernel.

    Source: Rahimi and Recht, Random features for large-scale kernel machines (2007).
    """

    directions: Float64
    """[D, num_features]"""

    @classmethod
    def of(cls, matrix: EmbeddingMatrix) -> RandomFeatures:
        """Features whose bandwidth is the median distance of pairs of rows."""
        rng = np.random.default_rng(_FEATURE_SEED)
        left, right = rng.integers(0, max(1, matrix.num_rows), size=(2, BANDWIDTH_PAIRS if matrix.num_rows else 0))
        squares = ((matrix.take(left) - matrix.take(right)) ** 2).sum(axis=1)
        median = float(np.median(squares[left != right])) if (left != right).any() else 1.0
        directions = rng.standard_normal((matrix.dim, NUM_FEATURES)) / np.sqrt(median or 1.0)
        return cls(directions=directions)

    def mean(self, matrix: EmbeddingMatrix, rows: Int64 | None = None) -> Float64:
        """The mean feature vector of all rows, or of some [2 * num_features]."""
        total, num_rows = np.zeros(2 * self.directions.shape[1]), 0
        for vectors in _unit_blocks(matrix, rows):
            angles = vectors @ self.directions
            total += np.concatenate([np.cos(angles).sum(axis=0), np.sin(angles).sum(axis=0)])
            num_rows += len(vectors)
        mean: Float64 = total / (max(1, num_rows) * np.sqrt(self.directions.shape[1]))
        return mean


def _unit_blocks(matrix: EmbeddingMatrix, rows: Int64 | None) -> Iterator[Float64]:
    if rows is None:
        for _, vectors in matrix.unit_blocks():
            yield vectors
    else:
        for start in range(0, len(rows), BLOCK_ROWS):
            yield matrix.take(rows[start : start + BLOCK_ROWS])
