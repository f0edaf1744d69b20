"""Ids of rows: taken from the source and proven unique, or made from the rows' content.

One reader of a whole input holds eight bytes per row, whatever the rows' size; readers of its splits exchange hashes
(autodp_ray/ingest/id_exchange.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import xxhash

from operators.rows.record import RECORD_COLUMNS

_CONTENT = ("history", "question", "answer")


class SeenHashes:
    """How often each 64-bit hash came before: sorted runs that double in size, and counts for what came twice."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._counts: dict[int, int] = {}

    def occurrences(self, hashes: np.ndarray) -> np.ndarray:
        """For each of [N] hashes how many equal ones stand before it, in this call and all earlier ones."""
        unique, inverse, totals = np.unique(hashes, return_inverse=True, return_counts=True)
        known = np.zeros(len(unique), dtype=bool)
        for run in self._runs:
            known |= run[np.minimum(np.searchsorted(run, unique), len(run) - 1)] == unique
        before = np.zeros(len(unique), dtype=np.int64)
        for index in np.flatnonzero(known):
            before[index] = self._counts.get(int(unique[index]), 1)
        for index in np.flatnonzero(before + totals > 1):
            self._counts[int(unique[index])] = int(before[index] + totals[index])
        self._add(unique[~known])
        ranks: np.ndarray = before[inverse] + _rank_among_equals(inverse)
        return ranks

    def _add(self, new: np.ndarray) -> None:
        if len(new):
            self._runs.append(new)
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]))


def _rank_among_equals(groups: np.ndarray) -> np.ndarray:
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.array([], dtype=np.int64)
    lengths = np.diff(np.r_[starts, len(ordered)])
    ranks = np.empty(len(ordered), dtype=np.int64)
    ranks[order] = np.arange(len(ordered)) - np.repeat(starts, lengths)
    return ranks


def id_hashes(ids: Sequence[str]) -> np.ndarray:
    """128 bits of each id, uint64 `[N, 2]`."""
    data = b"".join([xxhash.xxh3_128_digest(row_id.encode()) for row_id in ids])
    return np.frombuffer(data, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def numbered(row_id: str, rank: int) -> str:
    """The id of an exact copy, from the id that its content makes and the number of copies before it."""
    return f"{row_id}-{rank}" if rank else row_id


def content_digests(columns: Sequence[tuple[str, pa.Array]]) -> list[str]:
    """A 128-bit hex digest of each row over (name, column) pairs."""
    names = "\x1e".join(name for name, _ in columns)
    cells = [_as_texts(name, column) for name, column in columns]
    digest = xxhash.xxh3_128_hexdigest
    return [digest("\x1f".join([names, *row]).encode()) for row in zip(*cells, strict=True)]


def _as_texts(name: str, column: pa.Array) -> list[str]:
    has_text = pa.types.is_primitive(column.type) and not pa.types.is_interval(column.type)
    if pa.types.is_string(column.type) or has_text:
        texts = column.cast(pa.string()).to_pylist()
        return ["\x00" if text is None else text for text in texts] if column.null_count else texts
    if name == "history" and len(column.flatten()) == 0:
        return [""] * len(column)
    values = column.to_pylist()
    if name == "history":
        values = [[_without_blank_extra(turn) for turn in turns or ()] for turns in values]
    return [json.dumps(value, ensure_ascii=False, sort_keys=True, default=str) for value in values]


def _without_blank_extra(turn: dict[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in turn.items() if key != "extra" or value is not None}


def hashed_columns(extra_columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that make an id, in an order that does not depend on the source's."""
    return (*_CONTENT, *sorted(set(extra_columns) - set(RECORD_COLUMNS)))
