"""Which rows are copies of one another, and a seeded order of such groups.

Splits and samples both treat a group of near-duplicates as one thing. Knows no splits and no rates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from operators.near_duplicates import ROWS_PER_CHUNK, TextSketches, group_sketches, merge_sketches, sketch_texts
from operators.record import row_hashes


def history_texts(table: pa.Table | pa.RecordBatch) -> list[str]:
    """The turns before the last pair, as one text per row."""
    return ["\n".join(turn["content"] or "" for turn in turns or ()) for turns in table["history"].to_pylist()]


def row_groups(table: pa.Table, *, threshold: float = 0.8) -> np.ndarray:
    """Group label of each row, int64 [N]: near-duplicates of history, question and answer as one text."""
    groups: np.ndarray = group_sketches(row_sketches(table), threshold)
    return groups


def row_sketches(table: pa.Table) -> TextSketches:
    """Sketches of history, question and answer of each row as one text."""
    texts = (_row_texts(batch) for batch in table.to_batches(max_chunksize=ROWS_PER_CHUNK))
    return merge_sketches([sketch_texts(part) for part in texts] or [sketch_texts(pa.array([], pa.large_string()))])


def _row_texts(batch: pa.RecordBatch) -> pa.Array:
    rows = zip(history_texts(batch), batch["question"].to_pylist(), batch["answer"].to_pylist(), strict=True)
    return pa.array(["\n".join(part for part in row if part) for row in rows], pa.large_string())


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
