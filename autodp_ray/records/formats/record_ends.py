"""Where a file of text may be cut: at ends of records near a place, as well as a look at its surroundings can tell.

Whether a cut is right, who has read up to it knows (file_ranges.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from autodp_ray.records.files.file_ranges import FileRange
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.formats.csv_blocks import csv_head
from autodp_ray.records.formats.csv_rows import CsvGrammar
from autodp_ray.records.formats.json_stream import first_key_of_rows

WINDOW_BYTES = 1 << 20
"""How far behind its nominal place a range looks for the end of a record, before it takes any end of a line."""
_PIECE_BYTES = 1 << 16
_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r]*,?[ \t\r]*\n(?=\{)")
_LINE_END = re.compile(rb"\n")
_CSV_LINE_END = re.compile(rb"\n|\r(?=[^\n])")
_TIDY_ROWS = 4
"""Rows of CSV behind an end of a line that make it the end of a row: the text of a cell hardly looks like so many."""

FindEnd = Callable[[bytes], int | None]
"""Finds the end of a record in the bytes behind a place; None where more of them must be seen."""


def exact_range(part: FileRange) -> FileRange:
    """The range between ends of records. Two ranges that share a nominal bound share the exact one, unless it lies
    before the start of the first: that one ends where it starts, and the second one is begun anew there.

    Raises: InputError where the file cannot be opened.
    """
    if not part.is_nominal:
        return part
    find, least, line_end = _ends_in(part.file)
    start = part.start and _record_end(part.file, max(part.start, least), find, line_end)
    stop = None if part.stop is None else max(start, _record_end(part.file, max(part.stop, least), find, line_end))
    return replace(part, start=start, stop=stop, is_nominal=False)


def _ends_in(file: SourceFile) -> tuple[FindEnd, int, re.Pattern[bytes] | None]:
    """What finds the end of a record, where records begin, and what ends a line that may be taken instead."""
    match file.format:
        case "csv":
            return *_csv_row_end(file), _CSV_LINE_END
        case "json":
            return _element_end(file), 0, None
    return _object_end, 0, _LINE_END


def _element_end(file: SourceFile) -> FindEnd:
    """What finds where an object of an array ends and one begins that starts as the first one does."""
    key = first_key_of_rows(file.open_stream()) or "{"
    between = re.compile(rb"\}\s*,\s*(?=\{\s*" + re.escape(key).encode() + rb"\s*:)")

    def find(window: bytes) -> int | None:
        found = between.search(window)
        return None if found is None else found.end()

    return find


def _object_end(window: bytes) -> int | None:
    """Where an object ends its line and the next line starts one."""
    found = _BETWEEN_OBJECTS.search(window)
    return None if found is None else found.end()


def _csv_row_end(file: SourceFile) -> tuple[FindEnd, int]:
    """What finds the end of a line behind which tidy rows stand, and where rows begin."""
    head = csv_head(file.open_stream(), delimiter=file.delimiter, label=file.label)
    grammar, num_cells = CsvGrammar(head.delimiter), len(head.names)

    def find(window: bytes) -> int | None:
        for end in _CSV_LINE_END.finditer(window):
            rows = grammar.rows_of(window, _TIDY_ROWS, start=end.end())
            if len(rows) == _TIDY_ROWS and all(grammar.is_tidy(row, num_cells) for row in rows):
                return end.end()
        return None

    return find, head.num_bytes


def _record_end(file: SourceFile, at: int, find: FindEnd, line_end: re.Pattern[bytes] | None) -> int:
    """The first end of a record behind a place; where there is none near, the end of its line or any place."""
    with file.opened_at(at) as stream:
        window = b""
        while len(window) < WINDOW_BYTES:
            piece = bytes(stream.read(_PIECE_BYTES))
            if not piece:
                break
            window += piece
            found = find(window)
            if found is not None:
                return at + found
        return at + (len(window) if line_end is None else _end_of_line(stream, window, line_end))


def _end_of_line(stream: pa.NativeFile, window: bytes, line_end: re.Pattern[bytes]) -> int:
    """Bytes up to the end of the first line, or of the stream."""
    passed = 0
    while window:
        found = line_end.search(window)
        if found is not None:
            return passed + found.end()
        passed += len(window)
        window = bytes(stream.read(_PIECE_BYTES))
    return passed
