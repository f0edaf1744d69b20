"""Keeps the rows that cannot be parsed: one JSON line each with source, line, reason and raw text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from actors.storage.storage import Storage
from autodp_ray.records.files.atomic_file import AtomicFile
from autodp_ray.records.formats.raw_rows import BadRow

QUARANTINE_FILE = "quarantine.jsonl"


class ReasonCounts:
    """Counts bad rows by reason and keeps none: the `on_quarantine` of whoever only looks."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, row: BadRow) -> None:
        self._counts[row.reason] += 1

    @property
    def counts(self) -> dict[str, int]:
        """Rows by reason, in the order of their reasons' names."""
        return dict(sorted(self._counts.items()))

    @property
    def num_rows(self) -> int:
        return self._counts.total()


class Quarantine(ReasonCounts):
    """Writes bad rows into a folder and counts them by reason; the file appears when the quarantine is closed.

    Calling it takes one row in, so it serves as `on_quarantine` of the reader. Without a bad row there is no file.
    """

    def __init__(self, folder: Storage, *, name: str = QUARANTINE_FILE) -> None:
        super().__init__()
        self._folder = folder
        self._name = name
        self._file: AtomicFile | None = None

    def __call__(self, row: BadRow) -> None:
        line = {"source": row.source, "line": row.line, "reason": row.reason, "raw": row.raw}
        # ASCII escapes keep bytes that are no UTF-8 (lone surrogates here) writable
        self._opened().write(json.dumps(line, ensure_ascii=not _is_unicode(row.raw)).encode() + b"\n")
        super().__call__(row)

    def _opened(self) -> AtomicFile:
        if self._file is None:
            self._file = AtomicFile(self._folder, self._name)
        return self._file

    def take_over(self, folder: Storage, name: str, counts: Mapping[str, int], *, lines_ahead: int = 0) -> None:
        """Take in what another quarantine wrote into a folder and counted; its rows stand so many lines further on."""
        data = folder.read_bytes(name)
        if lines_ahead:
            for line in data.splitlines():
                row = json.loads(line)
                self(BadRow(source=row["source"], line=row["line"] + lines_ahead, reason=row["reason"], raw=row["raw"]))
            return
        self._opened().write(data)
        self._counts.update(counts)

    @property
    def location(self) -> str:
        """Where its file is, once it is closed and holds a row."""
        return self._folder.uri(self._name)

    def is_there(self) -> bool:
        """Whether its file is there, from whatever attempt."""
        return self._folder.is_file(self._name)

    def delete(self) -> None:
        """Delete the file of an earlier attempt, or what there was of it when it was killed."""
        self._folder.delete(self._name)
        self._folder.delete_temporary_of(self._name)

    def close(self) -> None:
        if self._file is not None:
            self._file.commit()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes on a fault too: what was quarantined until then says why."""
        self.close()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
