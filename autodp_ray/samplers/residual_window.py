"""The rows with the largest inner products with a vector, and a bound on all the others when that vector changes.

Geometry only: what `sampling_paper` needs in order to pick many rows after one look at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autodp_ray.samplers.embedding_matrix import AnyFloats, Float64, Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """The unit vectors x with x . axis <= height; holds every row that was left out of a window."""

    axis: Float64
    height: float

    @classmethod
    def below(cls, gain: float, residual: Float64) -> Cap:
        """The cap of the unit rows whose inner product with the residual is at most `gain`."""
        norm = float(np.linalg.norm(residual))
        if norm == 0.0:
            return cls(axis=residual, height=1.0)
        return cls(axis=residual / norm, height=gain / norm)

    def largest(self, residual: Float64) -> float:
        """The largest x . residual over the cap; minus infinity for an empty one."""
        if self.height == -np.inf:
            return -np.inf
        along = float(self.axis @ residual)
        across = residual - along * self.axis
        aside = float(np.sqrt(across @ across))
        norm = float(np.hypot(along, aside))
        if along <= self.height * norm:  # the direction of the residual itself lies in the cap
            return norm
        return self.height * along + float(np.sqrt(max(0.0, 1.0 - self.height**2))) * aside


@dataclass(frozen=True, slots=True, kw_only=True)
class TopRows:
    """The rows with the largest gains of some set, and a bound on the gains of its other rows."""

    rows: Int64
    gains: Float64
    left_out: float = -np.inf

    @classmethod
    def none(cls) -> TopRows:
        return cls(rows=np.empty(0, dtype=np.int64), gains=np.empty(0))

    def joined(self, other: TopRows) -> TopRows:
        """The rows of two disjoint sets."""
        return TopRows(
            rows=np.concatenate([self.rows, other.rows]),
            gains=np.concatenate([self.gains, other.gains]),
            left_out=max(self.left_out, other.left_out),
        )

    def best(self, count: int, *, tie: float) -> TopRows:
        """The `count` largest gains; where gains are within `tie`, the lowest rows."""
        if len(self.rows) <= count:
            return self
        order = np.lexsort((self.rows, -np.round(self.gains / tie)))
        kept, rest = order[:count], order[count:]
        left_out = max(self.left_out, float(self.gains[rest].max()))
        return TopRows(rows=self.rows[kept], gains=self.gains[kept], left_out=left_out)


def top_of_block(block: AnyFloats, norms: Float64, residual: Float64, *, rows: Int64, floor: float) -> TopRows:
    """The rows of a block whose gain is not certainly below `floor`, with exact gains; `rows` are places in it.

    A product in the block's own precision sorts out most rows; what that may be wrong by is in the bound.
    """
    wrong_by = float(np.finfo(block.dtype).eps) * (len(residual) + 2) * float(np.linalg.norm(residual))
    rough = (block @ residual.astype(block.dtype))[rows].astype(np.float64) / norms[rows]
    near = rough >= floor - wrong_by
    exact = block[rows[near]].astype(np.float64) @ residual / norms[rows[near]]
    return TopRows(rows=rows[near], gains=exact, left_out=float(rough[~near].max(initial=-np.inf)) + wrong_by)
