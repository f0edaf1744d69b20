"""Parts of a file that can be read by themselves: bytes of JSON and CSV, row groups of Parquet, batches of Arrow.

What they say may depend on what stands before (jsonl_lines.py, json_stream.py, csv_rows.py), so a range carries what
its reader begins with, and its end says what the next one must begin with: where that is something else, the next one
is read anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from autodp_ray.records.files.source_files import SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRange:
    """From `start` to `stop`, in bytes, row groups or record batches; without a stop to the file's end."""

    file: SourceFile
    start: int = 0
    stop: int | None = None
    is_nominal: bool = False
    """Of bytes: both bounds are still to be moved to the next end of a record (record_ends.py)."""
    first_line: int = 1
    """The line that the range starts on, or the row of a table."""
    known: frozenset[str] = frozenset()
    """Keys of the first object before, by which an array of rows on one line is told; of an array, its rows' first."""
    is_open: bool = False
    """Whether the first line may belong to what stands before: an object that is laid out over lines, or a row of CSV
    whose quotes are broken. Of JSON values, whether an array has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeEnd:
    """Where a range ended, and what reading on from there depends on."""

    next_line: int
    """The line behind what was read."""
    known: frozenset[str] = frozenset()
    open_bytes: int = 0
    """Bytes at the end that were not read: they may be the beginning of an object laid out over lines, or of a row."""
    is_open: bool = False
    """As of the range that follows."""

    def continued(self, done: FileRange, following: FileRange) -> FileRange:
        """The range that follows, begun as this end has it; `done` is exact."""
        assert done.stop is not None
        start = done.stop - self.open_bytes
        return FileRange(
            file=following.file,
            start=start,
            stop=None if following.stop is None else max(start, following.stop),
            first_line=self.next_line,
            known=self.known,
            is_open=self.is_open,
        )
