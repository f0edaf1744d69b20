"""Which rows are copies of one another, and a seeded order of such groups.

Splits and samples both treat a group of near-duplicates as one thing. Knows no splits and no rates; what makes two rows
copies stands in operators/likeness/row_likeness.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.likeness.row_likeness import DEFAULT_THRESHOLD, group_rows
from operators.likeness.row_sketches import sketch_rows
from operators.rows.content_columns import ContentColumns
from operators.rows.record import id_array, row_hashes


def row_groups(
    table: pa.Table, *, threshold: float = DEFAULT_THRESHOLD, content: ContentColumns = "auto"
) -> np.ndarray:
    """Group label of each row, int64 [N]: near-duplicates, by the rule that `deduplicate` also follows."""
    groups: np.ndarray = group_rows(sketch_rows(table, content=content), threshold)
    return groups


def ordered_groups(
    ids: Sequence[str] | pa.Array, groups: np.ndarray, *, seed: int, salt: str, limit: int | None = None
) -> list[np.ndarray]:
    """The row indices of each group, the groups in the order of a hash of (seed, salt, their lowest id).

    Uniform over groups, whatever their size; the same groups in the same order for any order of the rows. With a
    `limit`, only the first so many groups.
    """
    if len(ids) == 0:
        return []
    names = id_array(ids)
    ranks = pc.rank(names, tiebreaker="first").to_numpy().astype(np.int64)
    by_group = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[by_group], return_index=True)
    lowest = np.minimum.reduceat(ranks[by_group], starts)
    leads = names.take(pa.array(np.argsort(ranks)[lowest - 1]))
    hashes = row_hashes(leads, seed=seed, salt=salt)
    ends = np.append(starts[1:], len(by_group))
    return [by_group[starts[at] : ends[at]] for at in np.lexsort((lowest, hashes))[:limit]]
