"""Which rows are copies of one another, and a seeded order of such groups.

Splits and samples both treat a group of near-duplicates as one thing. Knows no splits and no rates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from operators.near_duplicates import near_duplicate_groups
from operators.record import row_hashes


def row_groups(table: pa.Table, *, threshold: float = 0.8, seed: int = 0) -> np.ndarray:
    """Group label of each row as int64 [N]: rows with one label are near-duplicates of one another, directly or by steps.

    A row that lacks its question or its answer also belongs to the rows with the same history and the field that it has:
    otherwise its own complete copy could land in another split.
    """
    histories = ["\n".join(turn["content"] or "" for turn in turns or ()) for turns in table["history"].to_pylist()]
    questions, answers = table["question"].to_pylist(), table["answer"].to_pylist()
    texts = [
        "\n".join(part for part in (history, question, answer) if part)
        for history, question, answer in zip(histories, questions, answers, strict=True)
    ]
    groups = near_duplicate_groups(texts, threshold=threshold, seed=seed)
    for known, missing in ((questions, answers), (answers, questions)):
        keys = [f"{history}\x1f{text}" if text else None for history, text in zip(histories, known, strict=True)]
        groups = _joined(groups, keys, joining=[text is None for text in missing])
    return groups


def _joined(groups: np.ndarray, keys: Sequence[str | None], *, joining: Sequence[bool]) -> np.ndarray:
    """Groups merged wherever a joining row has the key of another row."""
    wanted = {key for key, joins in zip(keys, joining, strict=True) if joins and key is not None}
    parent = {int(label): int(label) for label in np.unique(groups)}

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = label = parent[parent[label]]
        return label

    first: dict[str, int] = {}
    for key, label in zip(keys, groups.tolist(), strict=True):
        if key in wanted:
            left, right = root(first.setdefault(key, label)), root(label)
            parent[max(left, right)] = min(left, right)
    return np.fromiter((root(label) for label in groups.tolist()), dtype=np.int64, count=len(groups))


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
