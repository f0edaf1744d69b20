"""Parts of a file that can be read by themselves: bytes of JSON lines, row groups of Parquet, record batches of Arrow.

What JSON lines say may depend on the lines before (jsonl_lines.py), so a range carries what its reader begins with, and
its end says what the next one must begin with: where that is something else, the next one is read anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from autodp_ray.records.files.source_files import SourceFile

WINDOW_BYTES = 1 << 20
"""How far behind its nominal place a range looks for the end of a record, before it takes any end of a line."""
_PIECE_BYTES = 1 << 16
_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r]*,?[ \t\r]*\n(?=\{)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRange:
    """From `start` to `stop`, in bytes, row groups or record batches; without a stop to the file's end."""

    file: SourceFile
    start: int = 0
    stop: int | None = None
    is_nominal: bool = False
    """Of bytes: both bounds are still to be moved to the next end of a record (`exact`)."""
    first_line: int = 1
    """The line that the range starts on, or the row of a table."""
    known: frozenset[str] = frozenset()
    """Keys of the first object before, by which an array of rows on one line is told."""
    is_open: bool = False
    """Whether the first line may belong to an object that is laid out over lines."""

    def exact(self) -> FileRange:
        """The range between ends of records; two ranges that share a nominal bound share the exact one."""
        if not self.is_nominal:
            return self
        start = self.start and _record_end(self.file, self.start)
        stop = None if self.stop is None else _record_end(self.file, self.stop)
        return FileRange(
            file=self.file, start=start, stop=stop, first_line=self.first_line, known=self.known, is_open=self.is_open
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeEnd:
    """Where a range ended, and what reading on from there depends on."""

    next_line: int
    """The line behind what was read."""
    known: frozenset[str] = frozenset()
    open_bytes: int = 0
    """Bytes at the end that were not read as values: they may be the beginning of an object laid out over lines."""

    def continued(self, done: FileRange, following: FileRange) -> FileRange:
        """The range that follows, begun as this end has it; `done` is exact."""
        assert done.stop is not None
        return FileRange(
            file=following.file,
            start=done.stop - self.open_bytes,
            stop=following.stop,
            first_line=self.next_line,
            known=self.known,
            is_open=self.open_bytes > 0,
        )


def _record_end(file: SourceFile, at: int) -> int:
    """The first place behind `at` where an object ends its line and the next line starts one; the end of that line
    where there is none near."""
    with file.opened_at(at) as stream:
        window = b""
        while len(window) < WINDOW_BYTES:
            piece = bytes(stream.read(_PIECE_BYTES))
            if not piece:
                break
            window += piece
            found = _BETWEEN_OBJECTS.search(window)
            if found is not None:
                return at + found.end()
        return at + _end_of_line(stream, window)


def _end_of_line(stream: pa.NativeFile, window: bytes) -> int:
    """Bytes up to the end of the first line, or of the stream."""
    passed = 0
    while window:
        newline = window.find(b"\n")
        if newline >= 0:
            return passed + newline + 1
        passed += len(window)
        window = bytes(stream.read(_PIECE_BYTES))
    return passed
