"""K-means clusters of embeddings, by faiss: from one start that finds outliers, or from seeded random ones.

Trains on a bounded number of rows and assigns all of them block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from autodp_ray.samplers.embedding_matrix import BLOCK_ROWS, EmbeddingMatrix, Float64, Int64
from operators.contract.errors import InputError

TRAINING_ROWS_PER_CLUSTER = 64
ITERATIONS = 20
RESTARTS = 5
"""Of several random starts, the one with the tightest clusters counts."""

Start = Literal["farthest", "random"]


def cluster_rows(
    matrix: EmbeddingMatrix, rows: Int64, num_clusters: int, *, start: Start = "farthest", seed: int = 0
) -> Int64:
    """The cluster of each of the rows [n], 0 to `num_clusters` - 1; some clusters may be empty.

    `farthest` starts from rows that are far from one another: small groups of outliers get clusters of their own.
    `random` starts from seeded draws. Memory holds one block and the rows to train on.
    """
    labels = np.zeros(len(rows), dtype=np.int64)
    if len(rows) == 0 or num_clusters == 1:
        return labels
    with _one_thread():
        index = _trained(matrix.take(_training_rows(rows, num_clusters, seed)), num_clusters, start=start, seed=seed)
        in_file_order = np.argsort(rows, kind="stable")
        for low in range(0, len(rows), BLOCK_ROWS):
            at = in_file_order[low : low + BLOCK_ROWS]
            _, nearest = index.search(matrix.take(rows[at]).astype(np.float32), 1)
            labels[at] = nearest[:, 0]
    return labels


@contextmanager
def _one_thread() -> Iterator[None]:
    """Faiss and its BLAS on one thread: at these sizes threads mostly wait for one another, on a busy machine long."""
    try:
        import faiss  # noqa: F401 - it must be loaded for its threads to be found
    except ImportError as error:
        raise InputError("clusters need faiss: pip install 'autodp-ray[cpu]' (or [gpu])") from error
    with threadpool_limits(limits=1):
        yield


def _training_rows(rows: Int64, num_clusters: int, seed: int) -> Int64:
    """The rows to train on: all, or a seeded draw."""
    count = num_clusters * TRAINING_ROWS_PER_CLUSTER
    if len(rows) <= count:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), size=count, replace=False))]


class _Index(Protocol):
    """What is asked of a faiss index."""

    def search(self, vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and labels of the nearest centroids, both [N, count]."""


def _trained(vectors: Float64, num_clusters: int, *, start: Start, seed: int) -> _Index:
    import faiss

    rows = vectors.astype(np.float32)
    num_clusters = min(num_clusters, len(rows))
    centroids = rows[_farthest(rows, num_clusters)] if start == "farthest" else None
    kmeans = faiss.Kmeans(
        rows.shape[1],
        num_clusters,
        niter=ITERATIONS,
        nredo=1 if start == "farthest" else RESTARTS,
        seed=seed,
        min_points_per_centroid=1,
    )
    kmeans.train(rows, init_centroids=centroids)
    index: _Index = kmeans.index
    return index


def _farthest(rows: np.ndarray, count: int) -> Int64:
    """Rows each of which is the farthest from those before it; the first is the farthest from the mean."""
    nearest = rows @ rows.mean(axis=0)
    chosen = np.empty(count, dtype=np.int64)
    for at in range(count):
        chosen[at] = int(nearest.argmin())
        similar = rows @ rows[chosen[at]]
        nearest = similar if at == 0 else np.maximum(nearest, similar)
    return chosen
