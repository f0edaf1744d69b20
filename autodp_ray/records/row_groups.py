"""Which rows are copies of one another, and a seeded order of such groups.

Splits and samples both treat a group of near-duplicates as one thing. Knows no splits and no rates; what makes two rows
copies stands in operators/likeness/row_likeness.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from operators.likeness.row_likeness import DEFAULT_THRESHOLD, group_rows
from operators.likeness.row_sketches import sketch_rows
from operators.rows.content_columns import ContentColumns
from operators.rows.record import row_hashes


def row_groups(
    table: pa.Table, *, threshold: float = DEFAULT_THRESHOLD, content: ContentColumns = "auto"
) -> np.ndarray:
    """Group label of each row, int64 [N]: near-duplicates, by the rule that `deduplicate` also follows."""
    groups: np.ndarray = group_rows(sketch_rows(table, content=content), threshold)
    return groups


def ordered_groups(ids: Sequence[str], groups: np.ndarray, *, seed: int, salt: str) -> list[np.ndarray]:
    """The row indices of each group, the groups in the order of a hash of (seed, salt, their lowest id).

    Uniform over groups, whatever their size; the same groups in the same order for any order of the rows.
    """
    by_group = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[by_group], return_index=True)
    members = np.split(by_group, starts[1:]) if len(by_group) else []
    names = [min(ids[row] for row in rows) for rows in members]
    hashes = row_hashes(names, seed=seed, salt=salt).tolist()
    ranked = sorted(range(len(members)), key=lambda at: (hashes[at], names[at]))
    return [members[at] for at in ranked]
