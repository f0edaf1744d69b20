"""F(x): which rows need work. Decides what needs no model, remembers verdicts by content, and counts.

Implements the contract's `Screener` over whatever gives probabilities: a folder in this process, or an application on
Ray Serve (`screener_client`). Source: LLM-AutoDP, section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actors.screening.judge import LocalProbabilities
from actors.storage.row_memo import RowMemo
from operators.contract.digest import json_digest
from operators.rows.record import has_texts, is_complete, take_rows

MEMO_BYTES = 256 * 2**20
_STEP_ROWS = 512
"""Rows whose verdicts are remembered in one go, so that a kill loses little."""

Bool = npt.NDArray[np.bool_]


class Probabilities(Protocol):
    """What judges complete rows: plain data that travels to workers."""

    @property
    def revision(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    def probabilities(self, table: pa.Table) -> list[float | None]:
        """The probability of each row that it needs work, None where a verdict arrived that cannot be read.

        Raises: EndpointError where no verdict could be had.
        """


@dataclass(slots=True)
class ScreenerUsage:
    """What a process asked for: rows, rows that a model judged, and verdicts that could not be read."""

    requested: int = 0
    executed: int = 0
    unreadable: int = 0

    def counts(self) -> dict[str, int]:
        """As counts by reason."""
        return {
            "screened:requested": self.requested,
            "screened:executed": self.executed,
            "screened:unreadable": self.unreadable,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScreener:
    """Implements the contract's `Screener`."""

    judge: Probabilities
    memo: str | None = None
    """The sqlite file of remembered verdicts, on local disk; None remembers nothing."""
    counted: ScreenerUsage = field(default_factory=ScreenerUsage, compare=False)

    @property
    def revision(self) -> str:
        return self.judge.revision

    def usage(self) -> ScreenerUsage:
        """What was asked of it in this process so far, as a copy."""
        return ScreenerUsage(self.counted.requested, self.counted.executed, self.counted.unreadable)

    def needs_work(self, table: pa.Table) -> Bool:
        """bool [N]. Raises: EndpointError where no verdict could be had."""
        return self.probabilities(table) >= self.judge.threshold

    def probabilities(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """[N]; 1 for rows that lack a field and where a verdict could not be read, 0 for an answer that is a tool call:
        it lacks nothing, and has no text to be judged by."""
        self.counted.requested += table.num_rows
        found = np.ones(table.num_rows, dtype=np.float64)
        found[pc.and_not(is_complete(table), has_texts(table)).to_numpy(zero_copy_only=False)] = 0.0
        keys = {row: key for row, key in enumerate(_row_keys(table, self.revision)) if key is not None}
        first_rows: dict[str, int] = {}
        for row, key in keys.items():
            first_rows.setdefault(key, row)
        known = {} if self.memo is None else self._remembered(list(first_rows))
        missing = [key for key in first_rows if key not in known]
        for start in range(0, len(missing), _STEP_ROWS):
            some = missing[start : start + _STEP_ROWS]
            known.update(self._judged(some, take_rows(table, np.array([first_rows[key] for key in some]))))
        for row, key in keys.items():
            found[row] = known[key]
        return found

    def _remembered(self, keys: Sequence[str]) -> dict[str, float]:
        assert self.memo is not None
        return {key: float(value[0]) for key, value in _memo(self.memo).get(keys).items()}

    def _judged(self, keys: Sequence[str], rows: pa.Table) -> Mapping[str, float]:
        """An unreadable verdict counts as 1 and is not remembered: the next one may be readable."""
        judged = self.judge.probabilities(rows)
        self.counted.executed += len(keys)
        self.counted.unreadable += judged.count(None)
        readable = {key: one for key, one in zip(keys, judged, strict=True) if one is not None}
        if self.memo is not None:
            _memo(self.memo).put({key: np.array([one]) for key, one in readable.items()})
        return {key: readable.get(key, 1.0) for key in keys}


def local_screener(folder: str, *, memo: Path | None = None) -> RowScreener:
    """The screener of a trained folder, in whatever process asks it.

    Raises: InputError where the folder holds none.
    """
    return RowScreener(judge=LocalProbabilities.of(folder), memo=None if memo is None else str(memo))


def _row_keys(table: pa.Table, revision: str) -> list[str | None]:
    """sha256 of what a verdict depends on; None for a row that lacks a field, which needs no verdict."""
    columns = [table[name].to_pylist() for name in ("history", "question", "answer")]
    present = [pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(table[name])), 0) for name in ("question", "answer")]
    lengths = np.minimum(*(column.to_numpy() for column in present)) if table.num_rows else np.empty(0)
    return [
        json_digest([revision, row]) if length else None
        for row, length in zip(zip(*columns, strict=True), lengths, strict=True)
    ]


@cache
def _memo(path: str) -> RowMemo:
    return RowMemo(Path(path), max_bytes=MEMO_BYTES, dtype=np.float64)
