"""CSV as bounded tables of text columns.

Every column is text, so that what is written back is what was read: an unquoted empty cell is null, a quoted one an
empty text. Whole rows go to the fast parser; where it refuses a block, the rows that do not fit are found one by one.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.csv as pacsv

from autodp_ray.records.files.byte_stream import ByteStream
from autodp_ray.records.files.text_encoding import UTF8
from autodp_ray.records.formats.csv_rows import HEAD_BYTES, CsvCutter, CsvGrammar, Piece, lost_bytes, num_lines
from operators.contract.errors import InputError

MAX_ROWS = 4096
DELIMITERS = (",", "\t", ";", "|")
"""What cells are parted by, the likeliest first."""
WRONG_WIDTH = "a row with another number of cells than the header"

_SEP_LINE = re.compile(rb"sep=(.)\r?\n", re.IGNORECASE)
"""The first line that Excel takes for the delimiter."""
_SAMPLE_ROWS = 100

Broken = tuple[int, str, str]
"""Line, reason and raw text of a row that does not fit the header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvHead:
    """What the beginning of a file tells."""

    names: tuple[str, ...]
    delimiter: str
    num_bytes: int
    """Of all that stands before the first row."""


def csv_head(stream: ByteStream, *, delimiter: str | None = None, label: str = "the file") -> CsvHead:
    """The column names in the first row, and the delimiter that is given or found.

    Raises: InputError where the first row is no row, or its bytes are no UTF-8.
    """
    return opened_csv(stream, delimiter=delimiter, label=label)[1]


def csv_tables(
    cutter: CsvCutter, head: CsvHead, *, columns: list[str] | None, encoding: str = UTF8
) -> Iterator[tuple[pa.Table, list[int], list[Broken]]]:
    """(table, line of each row, broken rows) block by block."""
    parser = _BlockParser(head=head, not_text=f"invalid {encoding}")
    for pieces in cutter.blocks():
        block = parser.parse(pieces)
        kept = block.table if columns is None else block.table.select(columns)
        yield from _bounded(kept, block.lines, block.broken)


def _bounded(
    table: pa.Table, lines: list[int], broken: Sequence[Broken]
) -> Iterator[tuple[pa.Table, list[int], list[Broken]]]:
    for start in range(0, max(1, table.num_rows), MAX_ROWS):
        stop = start + MAX_ROWS
        here = [row for row in broken if start == 0 or row[0] >= lines[start]]
        here = [row for row in here if stop >= table.num_rows or row[0] < lines[stop]]
        yield table.slice(start, MAX_ROWS), lines[start:stop], here


def opened_csv(
    stream: ByteStream, *, delimiter: str | None, label: str, is_last: bool = True
) -> tuple[CsvCutter, CsvHead]:
    """What cuts the rows behind the header, and what the header says; `is_last`: the stream ends as the file does.

    Raises: InputError as `csv_head` does.
    """
    cutter = CsvCutter(stream, CsvGrammar(","), is_last=is_last)
    head = cutter.head()
    said = _SEP_LINE.match(head)
    found = delimiter or (said.group(1).decode("ascii", "replace") if said else _found_delimiter(head))
    grammar = CsvGrammar(found)
    cutter.use(grammar)
    if said:
        cutter.skip_line()
    header = cutter.header()
    if not header and head.strip():
        raise InputError(f"the quotes in the first row of {label} are not closed; mend that row")
    try:
        names = tuple(cell.decode() for cell in grammar.cells(header)) if header else ()
    except UnicodeDecodeError:
        raise InputError(f"the first row of {label} is no UTF-8; name what it is in with dataset.encoding") from None
    cutter.num_cells = len(names)
    return cutter, CsvHead(names=names, delimiter=found, num_bytes=cutter.num_bytes)


def _found_delimiter(head: bytes) -> str:
    """The delimiter by which most of the first rows have the header's number of cells, two or more; of several, the one
    that explains more rows."""
    sample = head[:HEAD_BYTES]
    best, best_fit = DELIMITERS[0], (0.0, 0)
    for delimiter in DELIMITERS:
        grammar = CsvGrammar(delimiter)
        widths = [grammar.num_cells(row) for row in grammar.rows_of(sample, _SAMPLE_ROWS) if row.strip()]
        if not widths or widths[0] < 2:
            continue
        fit = (sum(width == widths[0] for width in widths) / len(widths), len(widths))
        if fit > best_fit:
            best, best_fit = delimiter, fit
    return best


@dataclass(slots=True, kw_only=True)
class _Block:
    """Rows of one block, and those that do not fit."""

    table: pa.Table
    lines: list[int]
    broken: list[Broken] = field(default_factory=list)


class _BlockParser:
    """Turns pieces into tables."""

    def __init__(self, *, head: CsvHead, not_text: str) -> None:
        self._grammar = CsvGrammar(head.delimiter)
        self._names = head.names
        self._not_text = not_text
        self._parse_options = pacsv.ParseOptions(newlines_in_values=True, delimiter=head.delimiter)
        self._convert_options = pacsv.ConvertOptions(
            column_types=dict.fromkeys(head.names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )

    def parse(self, pieces: Sequence[Piece]) -> _Block:
        whole = [piece for piece in pieces if piece.reason is None]
        broken = [(piece.line, piece.reason, _raw(piece.data)) for piece in pieces if piece.reason is not None]
        try:
            table = self._table(b"".join(piece.data for piece in whole))
        except pa.ArrowInvalid:
            return self._one_by_one(whole, broken)
        lines = [line for piece in whole for line in self._row_lines(piece)]
        return _Block(table=table, lines=lines, broken=broken)

    def _table(self, body: bytes) -> pa.Table:
        """The rows of a block. The parser takes one byte order mark off; one that rows begin with stays theirs."""
        if not body.strip(b"\r\n"):
            return pa.table([pa.array([], pa.string())] * len(self._names), names=list(self._names))
        options = pacsv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(body) + 4)
        return pacsv.read_csv(
            pa.BufferReader(BOM_UTF8 + body),
            read_options=options,
            parse_options=self._parse_options,
            convert_options=self._convert_options,
        )

    def _row_lines(self, piece: Piece) -> list[int]:
        """The line on which each row starts; empty lines are none."""
        if b'"' not in piece.data:
            return [line for line, text in enumerate(_lines(piece.data), piece.line) if text]
        return [line for line, _ in self._rows(piece)]

    def _rows(self, piece: Piece) -> Iterator[tuple[int, bytes]]:
        line = piece.line
        for found in self._grammar.row.finditer(piece.data):
            row = found.group()
            if row.strip(b"\r\n"):
                yield line, row
            line += num_lines(row)

    def _one_by_one(self, pieces: Sequence[Piece], broken: list[Broken]) -> _Block:
        rows: list[bytes] = []
        lines: list[int] = []
        broken = [*broken]
        for piece in pieces:
            for line, row in self._rows(piece):
                for here, part, reason in self._judged(line, row):
                    if reason is None:
                        rows.append(part)
                        lines.append(here)
                    else:
                        broken.append((here, reason, _raw(part)))
        return _Block(table=self._table(b"".join(rows)), lines=lines, broken=sorted(broken))

    def _judged(self, line: int, row: bytes) -> Iterator[tuple[int, bytes, str | None]]:
        """(line, row, what is wrong with it) of a row, and of the rows that a misplaced quote joined to it."""
        if self._grammar.num_cells(row) == len(self._names):
            yield line, row, None if _is_utf8(row) else self._not_text
            return
        size = lost_bytes(row, self._grammar, len(self._names))
        yield line, row[:size], WRONG_WIDTH
        rest = Piece(line=line + num_lines(row[:size]), data=row[size:])
        for here, part in self._rows(rest):
            yield from self._judged(here, part)


def _lines(data: bytes) -> list[bytes]:
    if b"\r" not in data:
        return data.split(b"\n")
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _raw(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").rstrip("\r\n")
