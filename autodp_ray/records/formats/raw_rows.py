"""The input's rows as they stand in its files, in bounded batches. Knows formats, not forms (see forms/base.py)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import pyarrow as pa

from autodp_ray.records.files.byte_stream import ByteStream, Limited
from autodp_ray.records.files.file_ranges import FileRange, RangeEnd
from autodp_ray.records.files.source_files import READ_ERRORS, SourceFile
from autodp_ray.records.formats.csv_blocks import CsvHead, csv_head, csv_tables, opened_csv
from autodp_ray.records.formats.csv_rows import CsvCutter, CsvGrammar
from autodp_ray.records.formats.json_stream import ValueReader
from autodp_ray.records.formats.jsonl_lines import LineReader
from autodp_ray.records.formats.table_files import arrow_tables, parquet_tables, rows_without_text
from autodp_ray.records.formats.yaml_conversations import yaml_conversations

MAX_ROWS = 4096
BLOCK_BYTES = 4 << 20

NOT_AN_OBJECT = "not a JSON object"

RawRow = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be parsed. `reason` names no content, so it may be counted and shown; `raw` is the content."""

    source: str
    line: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBatch:
    """Rows of one file: as dicts where the file holds JSON values, as a table where it is columnar.

    `lines` are lines of text files, else row numbers, counted from 1; one per row of `rows` or `table`.
    """

    source: str
    lines: list[int]
    rows: list[RawRow] | None = None
    table: pa.Table | None = None
    bad: tuple[BadRow, ...] = ()

    @property
    def num_rows(self) -> int:
        return len(self.lines)

    def head(self, count: int) -> RawBatch:
        """The first rows of the input among parsed and bad ones together."""
        if self.num_rows + len(self.bad) <= count:
            return self
        places = [(line, False) for line in self.lines] + [(row.line, True) for row in self.bad]
        first = sorted(places)[:count]
        num_bad = sum(is_bad for _, is_bad in first)
        kept = len(first) - num_bad
        return RawBatch(
            source=self.source,
            lines=self.lines[:kept],
            rows=None if self.rows is None else self.rows[:kept],
            table=None if self.table is None else self.table.slice(0, kept),
            bad=tuple(sorted(self.bad, key=lambda row: row.line)[:num_bad]),
        )


def raw_batches(
    files: list[SourceFile], *, limit: int | None = None, columns: list[str] | None = None
) -> Iterator[RawBatch]:
    """All rows of the files in order, up to `limit`; `columns` restricts what columnar files read."""
    left = limit
    for file in files:
        for batch in range_batches(FileRange(file=file), columns=columns):
            if left is None:
                yield batch
                continue
            head = batch.head(left)
            left -= head.num_rows + len(head.bad)
            yield head
            if left == 0:
                return


def range_batches(part: FileRange, *, columns: list[str] | None = None) -> Generator[RawBatch, None, RangeEnd]:
    """The rows of an exact range in order, and how it ended."""
    try:
        return (yield from _range_batches(part, columns))
    except READ_ERRORS as error:
        raise part.file.damaged(error) from error


def _range_batches(part: FileRange, columns: list[str] | None) -> Generator[RawBatch, None, RangeEnd]:
    file = part.file
    not_text = f"invalid {file.encoding_name}"
    match file.format:
        case "jsonl":
            return (yield from _line_batches(part, not_text))
        case "parquet":
            tables = parquet_tables(file.open_file(), columns=columns, start=part.start, stop=part.stop)
            return (yield from _table_batches(part, tables))
        case "arrow":
            tables = arrow_tables(file.open_file, columns=columns, start=part.start, stop=part.stop)
            return (yield from _table_batches(part, tables))
        case "json":
            return (yield from _array_batches(part, not_text))
        case "yaml":
            yield from _value_batches(file, yaml_conversations(file.open_bytes()))
        case "yaml_replies":
            yield from _value_batches(file, yaml_conversations(file.open_bytes(), every_reply=True))
        case "csv":
            return (yield from _csv_batches(part, columns))
        case other:
            raise AssertionError(f"no reader for the format {other!r}")
    return RangeEnd(next_line=part.first_line)  # such a file is read whole: nothing follows


def _line_batches(part: FileRange, not_text: str) -> Generator[RawBatch, None, RangeEnd]:
    reader = LineReader(not_text=not_text, first_line=part.first_line, known=part.known, is_open=part.is_open)
    values = reader.values(_bytes_of(part), is_head=part.start == 0, is_last=part.stop is None)
    yield from _value_batches(part.file, values)
    return RangeEnd(
        next_line=reader.next_line, known=reader.known, open_bytes=reader.open_bytes, is_open=reader.open_bytes > 0
    )


def _array_batches(part: FileRange, not_text: str) -> Generator[RawBatch, None, RangeEnd]:
    reader = ValueReader(not_text=not_text, first_line=part.first_line, known=part.known, in_array=part.is_open)
    values = reader.values(_bytes_of(part), field=part.file.field, is_last=part.stop is None)
    yield from _value_batches(part.file, values)
    return RangeEnd(
        next_line=reader.next_line, known=reader.known, open_bytes=reader.open_bytes, is_open=reader.in_array
    )


def _bytes_of(part: FileRange) -> ByteStream:
    """A range's bytes; where it starts the file, that is looked at too."""
    if part.start:
        ranged: ByteStream = part.file.opened_at(part.start, part.stop)
        return ranged
    stream = part.file.open_stream()
    return stream if part.stop is None else Limited(stream, part.stop)


def _csv_batches(part: FileRange, columns: list[str] | None) -> Generator[RawBatch, None, RangeEnd]:
    file = part.file
    cutter, head = _opened_csv(part)
    tables = csv_tables(cutter, head, columns=columns, encoding=file.encoding_name)
    for table, lines, broken in tables:
        bad = tuple(BadRow(source=file.label, line=n, reason=reason, raw=raw) for n, reason, raw in broken)
        yield RawBatch(source=file.label, lines=lines, table=table, bad=bad)
    end = cutter.end
    return RangeEnd(next_line=end.next_line, open_bytes=end.open_bytes, is_open=end.is_open)


def _opened_csv(part: FileRange) -> tuple[CsvCutter, CsvHead]:
    """The rows of a range, and the header at the head of the file, by which all its ranges are read."""
    file, is_last = part.file, part.stop is None
    if not part.start and is_last:
        return opened_csv(_bytes_of(part), delimiter=file.delimiter, label=file.label)
    head = csv_head(file.open_stream(), delimiter=file.delimiter, label=file.label)
    if not part.start:
        return opened_csv(_bytes_of(part), delimiter=head.delimiter, label=file.label, is_last=False)
    cutter = CsvCutter(
        _bytes_of(part),
        CsvGrammar(head.delimiter),
        num_cells=len(head.names),
        first_line=part.first_line,
        is_open=part.is_open,
        is_head=False,
        is_last=is_last,
    )
    return cutter, head


def _table_batches(part: FileRange, tables: Iterator[pa.Table]) -> Generator[RawBatch, None, RangeEnd]:
    file, row = part.file, part.first_line
    for table in tables:
        lines = list(range(row, row + table.num_rows))
        row += table.num_rows
        faulty = rows_without_text(table)
        bad = [
            BadRow(source=file.label, line=lines[index], reason="invalid UTF-8", raw=text)
            for index, text in faulty.items()
        ]
        if faulty:
            good = [index for index in range(table.num_rows) if index not in faulty]
            table, lines = table.take(pa.array(good, pa.int64())), [lines[index] for index in good]
        yield RawBatch(source=file.label, lines=lines, table=table, bad=tuple(bad))
    return RangeEnd(next_line=row)


def _value_batches(file: SourceFile, values: Iterator[tuple[int, object, str]]) -> Iterator[RawBatch]:
    """Batches of (line, value, raw) triples; a value that is no object is a bad row, its reason the value's own text
    where the parser found none."""
    batch = _Collector(file.label)
    for line, value, raw in values:
        if batch.add(line, value, raw):
            yield batch.taken()
    yield batch.taken()


class _Collector:
    """Gathers parsed values into batches bounded by rows and by text size."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._clear()

    def _clear(self) -> None:
        self._lines: list[int] = []
        self._rows: list[RawRow] = []
        self._bad: list[BadRow] = []
        self._size = 0

    def add(self, line: int, value: object, raw: str) -> bool:
        """Take a value in; whether the batch is full now."""
        self._size += len(raw)
        if isinstance(value, dict):
            self._lines.append(line)
            self._rows.append(value)
        else:
            reason = str(value) if isinstance(value, ValueError) else NOT_AN_OBJECT
            self._bad.append(BadRow(source=self._source, line=line, reason=reason, raw=raw))
        return len(self._lines) + len(self._bad) >= MAX_ROWS or self._size >= BLOCK_BYTES

    def taken(self) -> RawBatch:
        batch = RawBatch(source=self._source, lines=self._lines, rows=self._rows, bad=tuple(self._bad))
        self._clear()
        return batch
