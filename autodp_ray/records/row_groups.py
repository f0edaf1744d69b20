"""Which rows are copies of one another, and a seeded order of such groups.

Splits and samples both treat a group of near-duplicates as one thing. Knows no splits and no rates; what makes two rows
copies stands in operators/likeness/row_likeness.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.likeness.row_likeness import DEFAULT_THRESHOLD, group_rows
from operators.likeness.row_sketches import sketch_rows
from operators.rows.content_columns import ContentColumns
from operators.rows.record import id_array, row_hashes
from operators.texts.text import Int64

_IDS_AT_ONCE = 1 << 16


def row_groups(
    table: pa.Table, *, threshold: float = DEFAULT_THRESHOLD, content: ContentColumns = "auto"
) -> np.ndarray:
    """Group label of each row, int64 [N]: near-duplicates, by the rule that `deduplicate` also follows."""
    groups: np.ndarray = group_rows(sketch_rows(table, content=content), threshold)
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOrder:
    """Groups of rows in a seeded order, held as arrays: a few numbers for each row."""

    members: Int64
    """The rows of all groups, one group after another."""
    starts: Int64
    """Where the rows of each group start, and at the end their number [G + 1]."""
    order: Int64
    """Which groups are first, second and so on [G]."""

    def first(self, num: int) -> list[Int64]:
        """The rows of each of the first groups."""
        return [self.members[self.starts[at] : self.starts[at + 1]] for at in self.order[:num]]

    @property
    def sizes(self) -> Int64:
        """Rows of each group, in the order."""
        return np.diff(self.starts)[self.order]

    def rows_of_first(self, num: int) -> Int64:
        """The rows of the first groups together, ascending."""
        is_first = np.zeros(len(self.order), dtype=bool)
        is_first[self.order[:num]] = True
        return np.sort(self.members[np.repeat(is_first, np.diff(self.starts))])


def ordered_groups(
    ids: Sequence[str] | pa.Array, groups: Int64, *, seed: int, salt: str, rows: Int64 | None = None
) -> GroupOrder:
    """The groups in the order of a hash of (seed, salt, their lowest id), of some rows or of all.

    Uniform over groups, whatever their size; the same groups in the same order for any order of the rows. `groups` are
    the labels of those rows.
    """
    names = id_array(ids)
    rows = np.arange(len(names)) if rows is None else rows
    by_group = np.argsort(groups, kind="stable")
    labels = groups[by_group]
    starts = np.flatnonzero(np.append(np.ones(min(1, len(labels)), dtype=bool), labels[1:] != labels[:-1]))
    members = rows[by_group]
    starts = np.append(starts, len(members))
    leads = _lowest_ids(names, members, starts)
    return GroupOrder(members=members, starts=starts, order=hash_order_of(names, leads, seed=seed, salt=salt))


def hash_order_of(names: pa.Array, rows: Int64, *, seed: int, salt: str) -> Int64:
    """The order of some rows by a hash of (seed, salt, id), where hashes are equal by the ids; places in `rows`."""
    hashes = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), _IDS_AT_ONCE):
        some = names.take(pa.array(rows[start : start + _IDS_AT_ONCE]))
        hashes[start : start + _IDS_AT_ONCE] = row_hashes(some, seed=seed, salt=salt)
    order: Int64 = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    if (hashes[1:] == hashes[:-1]).any():
        order = order[np.lexsort((pc.rank(names.take(pa.array(rows[order])), tiebreaker="first"), hashes))]
    return order


def _lowest_ids(names: pa.Array, members: Int64, starts: Int64) -> Int64:
    """The row of each group whose id is the lowest; most groups are of one row."""
    leads = members[starts[:-1]]
    sizes = np.diff(starts)
    several = np.flatnonzero(sizes > 1)
    if len(several):
        shared = members[np.repeat(sizes > 1, sizes)]
        ranks = pc.rank(names.take(pa.array(shared)), tiebreaker="first").to_numpy().astype(np.int64)
        firsts = np.cumsum(sizes[several]) - sizes[several]
        lowest = np.minimum.reduceat(ranks, firsts)
        leads[several] = shared[np.argsort(ranks)[lowest - 1]]
    return leads
