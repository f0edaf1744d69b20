"""What a sampler draws at once: a row, or a whole group of near-duplicates. Knows rows by their places in a matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Float64, Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """U disjoint sets of rows, in a fixed order."""

    members: Int64
    """The rows of all units, one unit after the other."""
    starts: Int64
    """Where each unit's rows start [U + 1]."""

    @classmethod
    def of_rows(cls, rows: Int64) -> Units:
        """Each row a unit of its own."""
        return cls(members=rows, starts=np.arange(len(rows) + 1))

    @classmethod
    def of_groups(cls, rows: Int64, groups: Int64) -> Units:
        """The rows [n] with equal labels [n] are a unit; units and their rows keep the order of the rows."""
        _, first, label = np.unique(groups, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first, kind="stable"), kind="stable")[label]
        by_unit = np.argsort(rank, kind="stable")
        return cls(members=rows[by_unit], starts=np.searchsorted(rank[by_unit], np.arange(len(first) + 1)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Int64:
        """Rows of each unit [U]."""
        return np.diff(self.starts)

    @property
    def num_rows(self) -> int:
        return len(self.members)

    def take(self, units: Int64) -> Units:
        """Some of the units, in the order given."""
        sizes = self.sizes[units]
        ends = np.cumsum(sizes)
        places = np.arange(int(sizes.sum())) + np.repeat(self.starts[:-1][units] - (ends - sizes), sizes)
        return Units(members=self.members[places], starts=np.concatenate([[0], ends]).astype(np.int64))

    def vectors(self, matrix: EmbeddingMatrix) -> Float64:
        """The mean embedding of each unit [U, D]."""
        rows = matrix.take(self.members)
        if len(self.members) == len(self):
            return rows
        means: Float64 = np.add.reduceat(rows, self.starts[:-1], axis=0) / self.sizes[:, None]
        return means
