"""The sampler `herding`: pick after pick, the row that brings the mean embedding closest to the mean of all rows.

At step t the pick is argmax x . (t m - s), where m is the mean of the embeddings and s the sum of those picked. That is
exact while the rows fit into one block. Many rows are taken block by block: each block gives its quota, herds towards
its own mean, and starts from what the blocks before it left over, so errors do not add up, whatever the order of rows.

Source: Welling, Herding dynamical weights to learn (2009); Chen, Welling and Smola, Super-samples from kernel herding
(2010), with the linear kernel on unit vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from autodp_ray.samplers.base import Bucket, Sampler
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Float64, Int64
from autodp_ray.samplers.quotas import largest_remainder
from autodp_ray.samplers.units import Units

BLOCK_UNITS = 2048
"""Candidates that are weighed against one another; their products take 34 MB."""


class HerdingSampler(Sampler):
    """Rows whose mean embedding stays closest to that of all rows; truest to the mix at few clusters."""

    name: Literal["herding"] = "herding"

    def draw(self, bucket: Bucket) -> Int64:
        matrix = bucket.matrix
        large, units, quota = bucket.without_large_groups()
        return np.concatenate([large, sample_by_herding(matrix, units, quota)])


def sample_by_herding(matrix: EmbeddingMatrix, units: Units, num_rows: int) -> Int64:
    """Rows of whole units, near `num_rows` of them (exactly, where units are single rows), in the order of picking."""
    herder = Herder(matrix=matrix)
    return herder.draw([units], np.array([num_rows], dtype=np.int64))


@dataclass(slots=True, kw_only=True)
class Herder:
    """Herding over several clusters of units, with what one cluster left over carried to the next."""

    matrix: EmbeddingMatrix
    _residual: Float64 = field(init=False)
    """Sum of the embeddings that should have been picked so far, minus of those that were."""

    def __post_init__(self) -> None:
        self._residual = np.zeros(self.matrix.dim)

    def draw(self, clusters: Sequence[Units], quotas: Int64) -> Int64:
        """Rows from every cluster, as many as its quota, which no unit is cut for.

        Groups of several rows are drawn apart from single rows, each in their share: so the sample has as many
        near-duplicates as the whole. Single rows make up for what whole groups are off by.
        """
        rate = int(quotas.sum()) / max(1, sum(units.num_rows for units in clusters))
        drawn: list[Int64] = []
        due_of_groups, due = 0.0, 0
        for units, quota in zip(clusters, quotas.tolist(), strict=True):
            grouped = units.take(np.flatnonzero(units.sizes > 1))
            due_of_groups += rate * grouped.num_rows
            due += quota
            groups = self._herd(grouped, round(due_of_groups))
            due_of_groups -= len(groups)
            singles = self._herd(units.take(np.flatnonzero(units.sizes == 1)), due - len(groups))
            if (
                quota and len(units) and not len(groups) + len(singles)
            ):  # nothing fits what is due, but no cluster goes without
                groups = self._herd(units, int(units.sizes.min()))
                due_of_groups -= len(groups) if len(groups) > 1 else 0
            due -= len(groups) + len(singles)
            drawn += [groups, singles]
        return np.concatenate([np.empty(0, dtype=np.int64), *drawn])

    def _herd(self, units: Units, num_rows: int) -> Int64:
        """Rows of the units, block by block, near `num_rows` of them."""
        blocks = np.array_split(np.arange(len(units)), -(-len(units) // BLOCK_UNITS) or 1)
        quotas = largest_remainder(np.array([units.take(block).num_rows for block in blocks]), max(0, num_rows))
        drawn: list[Int64] = []
        due = 0
        for block, quota in zip(blocks, quotas.tolist(), strict=True):
            due += quota
            if due > 0 and len(block):
                picked = self._herd_block(units.take(block), due)
                due -= len(picked)
                drawn.append(picked)
        return np.concatenate([np.empty(0, dtype=np.int64), *drawn])

    def _herd_block(self, units: Units, num_rows: int) -> Int64:
        vectors, sizes = units.vectors(self.matrix), units.sizes
        mean = sizes @ vectors / units.num_rows
        products = vectors @ vectors.T
        pull = vectors @ mean
        scores = vectors @ self._residual
        missing = num_rows
        picked: list[int] = []
        open_units = np.ones(len(units), dtype=bool)
        while missing > 0:
            open_units &= sizes - missing <= missing  # a group that would overshoot by more than is missing stays out
            if not open_units.any():
                break
            unit = int(np.argmax(np.where(open_units, scores + sizes * pull, -np.inf)))
            scores += sizes[unit] * (pull - products[unit])
            open_units[unit] = False
            picked.append(unit)
            missing -= int(sizes[unit])
        chosen = np.array(picked, dtype=np.int64)
        self._residual = self._residual + sizes[chosen].sum() * mean - sizes[chosen] @ vectors[chosen]
        return units.take(chosen).members
