"""CSV as bounded tables of text columns.

Every column is text, so that what is written back is what was read: an unquoted empty cell is null, a quoted one an
empty text. Blocks are cut where no quote is open; a block that the fast parser refuses is parsed row by row, which
finds the broken rows and their lines.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pacsv

BLOCK_BYTES = 4 << 20
MAX_BLOCK_BYTES = 64 << 20
"""A block in which a quote is still open after so many bytes is cut all the same."""
MAX_ROWS = 4096

Broken = tuple[int, str, str]
"""Line, reason and raw text of a row that does not fit the header."""


def csv_header(stream: pa.NativeFile) -> list[str]:
    """The column names in the first row."""
    block = next(_blocks(stream), b"")
    return _first_row(block)[0]


def csv_tables(
    stream: pa.NativeFile, *, columns: list[str] | None
) -> Iterator[tuple[pa.Table, list[int], list[Broken]]]:
    """(table, line of each row, broken rows) block by block."""
    csv.field_size_limit(1 << 31)
    names: list[str] = []
    line = 1
    for block in _blocks(stream):
        body = block
        if not names:
            names, taken = _first_row(block)
            line += block[:taken].count(b"\n")
            body = block[taken:]
        table, lines, broken = _parsed(body, names, line)
        kept = table if columns is None else table.select(columns)
        for start in range(0, max(1, kept.num_rows), MAX_ROWS):
            stop = start + MAX_ROWS
            here = [row for row in broken if start == 0 or row[0] >= lines[start]]
            here = [row for row in here if stop >= kept.num_rows or row[0] < lines[stop]]
            yield kept.slice(start, MAX_ROWS), lines[start:stop], here
        line += body.count(b"\n")


def _blocks(stream: pa.NativeFile) -> Iterator[bytes]:
    held = bytes(stream.read(BLOCK_BYTES)).removeprefix(b"\xef\xbb\xbf")
    while held:
        cut = _last_row_end(held)
        if cut or len(held) > MAX_BLOCK_BYTES:
            cut = cut or held.rfind(b"\n") + 1 or len(held)
            yield held[:cut]
            held = held[cut:]
        chunk = bytes(stream.read(BLOCK_BYTES))
        if not chunk:
            break
        held += chunk
    if held:
        yield held


def _last_row_end(data: bytes) -> int:
    """The position after the last newline outside quotes; 0 where there is none. Doubled quotes keep the count even."""
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end)
    while end and quotes % 2:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def _first_row(block: bytes) -> tuple[list[str], int]:
    """The header's names and how many bytes it takes."""
    text = io.StringIO(block.decode("utf-8", "surrogateescape"), newline="")
    names = next(csv.reader(iter(text.readline, "")), [])
    taken = len(text.getvalue()[: text.tell()].encode("utf-8", "surrogateescape"))
    return names, taken


def _parsed(body: bytes, names: list[str], line: int) -> tuple[pa.Table, list[int], list[Broken]]:
    try:
        table = pacsv.read_csv(
            pa.BufferReader(body),
            read_options=pacsv.ReadOptions(column_names=names, use_threads=False, block_size=len(body) + 1),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return _parsed_row_by_row(body, names, line)
    if body.count(b"\n") in (table.num_rows, table.num_rows - 1):
        return table, list(range(line, line + table.num_rows)), []
    return table, _row_lines(body, table.num_rows, line), []


def _row_lines(body: bytes, num_rows: int, line: int) -> list[int]:
    """The line on which each row starts, where cells hold newlines."""
    lines: list[int] = []
    open_quote = False
    for number, text in enumerate(body.split(b"\n"), line):
        if not open_quote and text.strip():
            lines.append(number)
        open_quote ^= text.count(b'"') % 2 == 1
    return (lines + [line] * num_rows)[:num_rows]


def _parsed_row_by_row(body: bytes, names: list[str], line: int) -> tuple[pa.Table, list[int], list[Broken]]:
    rows: list[list[str]] = []
    lines: list[int] = []
    broken: list[Broken] = []
    reader = csv.reader(io.StringIO(body.decode("utf-8", "surrogateescape"), newline=""))
    start = 0
    for cells in reader:
        here, start = line + start, reader.line_num
        if len(cells) == len(names) and _is_text(cells):
            rows.append(cells)
            lines.append(here)
        elif cells:
            reason = (
                "invalid UTF-8" if len(cells) == len(names) else "a row with another number of cells than the header"
            )
            broken.append((here, reason, _as_line(cells)))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    arrays = [pa.array([cell or None for cell in column], pa.string()) for column in columns]
    return pa.table(arrays, names=names), lines, broken


def _is_text(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()
