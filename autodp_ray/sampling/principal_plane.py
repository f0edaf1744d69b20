"""The two directions along which embeddings vary most, found block by block, and where rows lie on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Float64, Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalPlane:
    """A mean [D] and two orthonormal directions [D, 2]."""

    mean: Float64
    axes: Float64
    variance_fracs: tuple[float, float]
    """Share of the variance along each direction."""

    def points(self, matrix: EmbeddingMatrix, rows: Int64) -> tuple[tuple[float, float], ...]:
        """Where some rows lie."""
        places = (matrix.take(rows) - self.mean) @ self.axes
        return tuple((round(float(x), 4), round(float(y), 4)) for x, y in places)


def principal_plane(matrix: EmbeddingMatrix) -> PrincipalPlane:
    """The first two principal components; signs are fixed so that an axis' largest entry is positive."""
    total = np.zeros(matrix.dim)
    products = np.zeros((matrix.dim, matrix.dim))
    for _, vectors in matrix.unit_blocks():
        total += vectors.sum(axis=0)
        products += vectors.T @ vectors
    count = max(1, matrix.num_rows)
    mean = total / count
    variances, directions = np.linalg.eigh(products / count - np.outer(mean, mean))
    axes = np.zeros((matrix.dim, 2))
    axes[:, : min(2, matrix.dim)] = directions[:, ::-1][:, :2]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(2)] + 1e-300)
    whole = float(variances.clip(min=0).sum()) or 1.0
    first, second = [*(variances[::-1][:2].clip(min=0) / whole).tolist(), 0.0][:2]
    return PrincipalPlane(mean=mean, axes=axes, variance_fracs=(first, second))
