"""Rows with one and the same embedding, drawn one after the other: of each distinct embedding, its first free row.

So a hundred thousand equal rows are one candidate to a sampler. Knows rows by the bytes of their embeddings alone.
"""

from __future__ import annotations

import numpy as np
import xxhash

from autodp_ray.samplers.embedding_matrix import AnyFloats, Bool, EmbeddingMatrix, Int64

_NONE = -1


def row_digests(rows: AnyFloats) -> np.ndarray:
    """A 64-bit digest of the bytes of every row [B], uint64."""
    plain = np.ascontiguousarray(rows)
    return np.fromiter((xxhash.xxh3_64_intdigest(row) for row in plain), dtype=np.uint64, count=len(plain))


class RowCopies:
    """Which rows are still free, and the lead (the first free row) of every distinct embedding."""

    def __init__(self, matrix: EmbeddingMatrix, rows: Int64) -> None:
        """`rows` are free, the first of them first."""
        digests = [row_digests(block) for _, block in matrix.blocks()]
        joined = np.concatenate([np.empty(0, dtype=np.uint64), *digests])
        _, kinds = np.unique(joined, return_inverse=True)
        self.kinds: Int64 = kinds.astype(np.int64)
        """Number of each row's distinct embedding [N]."""
        self.ranks: Int64 = np.full(matrix.num_rows, _NONE, dtype=np.int64)
        """Place of each row among those that were free [N]."""
        self.ranks[rows] = np.arange(len(rows))
        self._free: Bool = self.ranks != _NONE
        by_kind = rows[np.argsort(self.kinds[rows], kind="stable")]
        same = self.kinds[by_kind[1:]] == self.kinds[by_kind[:-1]]
        self._next = np.full(matrix.num_rows, _NONE, dtype=np.int64)
        self._next[by_kind[:-1][same]] = by_kind[1:][same]
        self._leads = np.full(int(self.kinds.max(initial=-1)) + 1, _NONE, dtype=np.int64)
        self._leads[self.kinds[by_kind[::-1]]] = by_kind[::-1]

    @property
    def num_free(self) -> int:
        return int(self._free.sum())

    def leads(self, start: int, stop: int) -> Int64:
        """The rows in [start, stop) that are the lead of their embedding."""
        rows = np.arange(start, stop)
        leads: Int64 = rows[self._leads[self.kinds[start:stop]] == rows]
        return leads

    def lead(self, kinds: Int64) -> Int64:
        """The lead of each distinct embedding, -1 where no row of it is free."""
        leads: Int64 = self._leads[kinds]
        return leads

    def free_of(self, rows: Int64) -> Int64:
        """Those of the rows that are free."""
        free: Int64 = rows[self._free[rows]]
        return free

    def take(self, rows: Int64) -> None:
        """The rows are free no more; a lead among them is followed by its next free copy."""
        self._free[rows] = False
        for kind in set(self.kinds[rows].tolist()):
            row = int(self._leads[kind])
            while row != _NONE and not self._free[row]:
                row = int(self._next[row])
            self._leads[kind] = row


class GroupRows:
    """The rows of every group."""

    def __init__(self, groups: Int64) -> None:
        _, self._group_of = np.unique(groups, return_inverse=True)
        self._rows = np.argsort(self._group_of, kind="stable")
        self._starts = np.searchsorted(self._group_of[self._rows], np.arange(self._group_of.max(initial=-1) + 2))

    def of(self, row: int) -> Int64:
        """All rows of the group of a row, ascending."""
        group = self._group_of[row]
        rows: Int64 = self._rows[self._starts[group] : self._starts[group + 1]]
        return rows
