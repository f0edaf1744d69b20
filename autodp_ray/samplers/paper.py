"""The sampler `paper`, exact: row by row, the row that is most similar to all rows not yet picked.

Greedy on g(x) = x . r, where r is the sum of the unpicked rows. A pass over all rows keeps those with the W largest g
and one number about the others: they lie in the cap x . u <= a, where u is the direction of r at the pass. As r
shrinks, the largest x . r that any unit vector of that cap can have bounds them all, whatever the signs of the
cosines. Picks are made inside the window while its best is above that bound; then comes the next pass. Windows are
nested: a small one is kept of the large one in the same way. State beside the rows: r, W rows, a few numbers per row.

The formula favours the centre of the data, so such a sample does not have the distribution of the whole: it is here to
reproduce the paper. Source: paper, section 3.3.2, equation 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from autodp_ray.samplers.base import Bucket, Sampler
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Float64, Int64, unit_and_norms
from autodp_ray.samplers.residual_window import Cap, TopRows, top_of_block
from autodp_ray.samplers.row_copies import GroupRows, RowCopies

WINDOW_ROWS = 16384
INNER_ROWS = 512
TIE_FRAC = 1e-12
"""Gains that differ by less than this share of the largest possible one are ties; the first row wins."""


class PaperSampler(Sampler):
    """Rows by the paper's equation 4, which takes the centre of the data: here to reproduce the paper."""

    name: Literal["paper"] = "paper"

    def draw(self, bucket: Bucket) -> Int64:
        groups = bucket.groups if bucket.whole_groups else None
        return sample_by_equation_4(bucket.matrix, bucket.quota, rows=bucket.ordered_rows, groups=groups).rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperSample:
    """Row indices in the order of picking, int64 [n], and how often all rows were read for them."""

    rows: Int64
    num_passes: int


def sample_by_equation_4(
    matrix: EmbeddingMatrix,
    num_rows: int,
    *,
    rows: Int64 | None = None,
    groups: Int64 | None = None,
    window_rows: int = WINDOW_ROWS,
) -> PaperSample:
    """Pick `num_rows` rows by equation 4 among `rows`, by default all; of ties, the first there.

    With `groups` [N], the others of these rows in a picked row's group come with it; the last group is left out where
    the sample is closer to `num_rows` without it.
    """
    rows = np.arange(matrix.num_rows) if rows is None else rows
    return _Search(matrix, rows, groups=groups, window_rows=window_rows).run(num_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """The distinct embeddings with the largest gains, with their rows' vectors, and where all others lie."""

    kinds: Int64
    vectors: Float64
    others: Cap


class _Search:
    """The state of one sampling."""

    def __init__(self, matrix: EmbeddingMatrix, rows: Int64, *, groups: Int64 | None, window_rows: int) -> None:
        self._matrix = matrix
        self._copies = RowCopies(matrix, rows)
        self._groups = None if groups is None else GroupRows(groups)
        self._window_rows = window_rows
        self._residual = np.zeros(matrix.dim)
        self._norms = np.ones(matrix.num_rows)
        for start, block in matrix.blocks():
            vectors, norms = unit_and_norms(block)
            self._norms[start : start + len(block)] = norms
            self._residual += (self._copies.ranks[start : start + len(block)] >= 0).astype(np.float64) @ vectors
        self._tie = TIE_FRAC * max(1, self._copies.num_free)
        self._num_passes = 2  # the copies, and the sum
        self._picked: list[int] = []
        self._missing = 0

    def run(self, num_rows: int) -> PaperSample:
        self._missing = min(num_rows, self._copies.num_free)
        while self._missing > 0:
            self._pick_from_window(self._pass())
        return PaperSample(rows=np.array(self._picked, dtype=np.int64), num_passes=self._num_passes)

    def _pass(self) -> _Window:
        """The window over all rows."""
        self._num_passes += 1
        top = TopRows.none()
        for start, block in self._matrix.blocks():
            floor = float(top.gains.min()) if len(top.rows) == self._window_rows else -np.inf
            leads = self._copies.leads(start, start + len(block))
            norms = self._norms[start : start + len(block)]
            found = top_of_block(block, norms, self._residual, rows=leads - start, floor=floor)
            top = top.joined(replace(found, rows=found.rows + start)).best(self._window_rows, tie=self._tie)
        vectors = self._matrix.take(top.rows)
        return _Window(
            kinds=self._copies.kinds[top.rows], vectors=vectors, others=Cap.below(top.left_out, self._residual)
        )

    def _inner(self, outer: _Window) -> _Window:
        """The window over the candidates of a larger one."""
        leads = self._copies.lead(outer.kinds)
        alive = np.flatnonzero(leads >= 0)
        gains = (outer.vectors @ self._residual)[alive]
        top = TopRows(rows=leads[alive], gains=gains).best(INNER_ROWS, tie=self._tie)
        at = alive[np.flatnonzero(np.isin(leads[alive], top.rows))]
        return _Window(kinds=outer.kinds[at], vectors=outer.vectors[at], others=Cap.below(top.left_out, self._residual))

    def _pick_from_window(self, outer: _Window) -> None:
        """Pick inside a window until a row outside of it may be better; at least one row."""
        bounds: tuple[Cap, ...] = ()
        while self._missing > 0 and self._pick_from_inner_window(self._inner(outer), bounds, outer.others):
            bounds = (outer.others,)

    def _pick_from_inner_window(self, inner: _Window, bounds: tuple[Cap, ...], outer: Cap) -> bool:
        """Pick inside the inner window, a window of the outer one; returns whether a row was picked.

        The first pick has only `bounds` to beat: the window was just made, so its best is the best of its set.
        """
        gains, leads = inner.vectors @ self._residual, self._copies.lead(inner.kinds)
        picked_any = False
        while self._missing > 0 and len(leads):
            best = float(gains.max())
            if best == -np.inf or any(best <= bound.largest(self._residual) + self._tie for bound in bounds):
                break
            tied = np.flatnonzero(gains >= best - self._tie)
            at = tied[self._copies.ranks[leads[tied]].argmin()]
            gains -= inner.vectors @ self._pick(int(leads[at]), inner.vectors[at])
            leads = self._copies.lead(inner.kinds)
            gains[leads < 0] = -np.inf
            bounds, picked_any = (inner.others, outer), True
        return picked_any

    def _pick(self, row: int, vector: Float64) -> Float64:
        """Pick a row, with its group; the sum of what was picked."""
        rows = np.array([row]) if self._groups is None else self._copies.free_of(self._groups.of(row))
        if self._picked and len(rows) - self._missing > self._missing:
            self._missing = 0
            return np.zeros(self._matrix.dim)
        taken: Float64 = vector if len(rows) == 1 else self._matrix.take(rows).sum(axis=0)
        self._copies.take(rows)
        self._residual -= taken
        self._picked += rows.tolist()
        self._missing -= len(rows)
        return taken
