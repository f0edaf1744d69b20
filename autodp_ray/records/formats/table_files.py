"""Parquet and Arrow files as bounded tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

MAX_ROWS = 4096
MAX_BYTES = 16 << 20
FETCH_BYTES = 64 << 20
"""Row groups of so many bytes together are fetched at once; of a larger one, so much of all columns at a time."""


def parquet_tables(
    source: pa.NativeFile, *, columns: list[str] | None, start: int = 0, stop: int | None = None
) -> Iterator[pa.Table]:
    """Tables of at most `MAX_ROWS` rows and about `MAX_BYTES`, of the row groups from `start` to `stop`."""
    file = pq.ParquetFile(source)
    metadata = file.metadata
    buffer_bytes = max(1 << 20, FETCH_BYTES // max(1, metadata.num_columns))
    streamed = pq.ParquetFile(source, metadata=metadata, pre_buffer=False, buffer_size=buffer_bytes)
    for groups, num_rows, num_bytes in _fetches(metadata, range(metadata.num_row_groups)[start:stop]):
        batch_rows = min(MAX_ROWS, max(16, MAX_BYTES // max(1, num_bytes // max(1, num_rows))))
        reader = file if num_bytes <= FETCH_BYTES else streamed
        for batch in reader.iter_batches(batch_size=batch_rows, row_groups=groups, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])


def _fetches(metadata: pq.FileMetaData, groups: Sequence[int]) -> Iterator[tuple[list[int], int, int]]:
    """Neighbouring row groups up to `FETCH_BYTES`, or a larger one alone, with their rows and bytes."""
    held: list[int] = []
    num_rows = num_bytes = 0
    for index in groups:
        group = metadata.row_group(index)
        if held and num_bytes + group.total_byte_size > FETCH_BYTES:
            yield held, num_rows, num_bytes
            held, num_rows, num_bytes = [], 0, 0
        held.append(index)
        num_rows += group.num_rows
        num_bytes += group.total_byte_size
    if held:
        yield held, num_rows, num_bytes


def arrow_tables(
    reopen: Callable[[], pa.NativeFile], *, columns: list[str] | None, start: int = 0, stop: int | None = None
) -> Iterator[pa.Table]:
    """Tables of an Arrow IPC file or stream (what `datasets` keeps in its cache), of a file's record batches from
    `start` to `stop`."""
    for batch in _record_batches(reopen, start, stop):
        table = pa.Table.from_batches([batch])
        kept = table if columns is None else table.select(columns)
        step = min(MAX_ROWS, max(16, MAX_BYTES // max(1, kept.nbytes // max(1, kept.num_rows))))
        for start in range(0, kept.num_rows, step):
            yield kept.slice(start, step)


def _record_batches(reopen: Callable[[], pa.NativeFile], start: int, stop: int | None) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(reopen())
    except pa.ArrowInvalid:
        yield from pa.ipc.open_stream(reopen())
        return
    for index in range(reader.num_record_batches)[start:stop]:
        yield reader.get_batch(index)


def row_group_bytes(source: pa.NativeFile) -> list[int]:
    """The size of each row group of a Parquet file, in which it can be cut."""
    metadata = pq.ParquetFile(source).metadata
    return [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]


def num_record_batches(source: pa.NativeFile) -> int:
    """Of an Arrow IPC file; one for a stream, which cannot be cut."""
    try:
        return int(pa.ipc.open_file(source).num_record_batches)
    except pa.ArrowInvalid:
        return 1


def table_schema(reopen: Callable[[], pa.NativeFile], *, format_name: str) -> pa.Schema:
    """The schema of a Parquet or Arrow file, without reading its rows."""
    if format_name == "parquet":
        return pq.read_schema(reopen())
    try:
        return pa.ipc.open_file(reopen()).schema
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(reopen()).schema


def rows_without_text(table: pa.Table) -> dict[int, str]:
    """The rows in which a text is no UTF-8, with what can be shown of them.

    Raises: pa.ArrowInvalid where more is wrong than that: offsets that lead out of the file, say.
    """
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        for column in table.columns:
            for chunk in column.chunks:
                chunk.view(_without_text(chunk.type)).validate(full=True)
        return {index: _shown(table.slice(index, 1)) for index in _invalid_rows(table, 0)}
    return {}


def _without_text(kind: pa.DataType) -> pa.DataType:
    """The type of the same buffers whose bytes need be no UTF-8."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_string_view(kind):
        return pa.binary_view()
    if pa.types.is_list(kind):
        return pa.list_(_field_without_text(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_field_without_text(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_field_without_text(field) for field in kind])
    return kind


def _field_without_text(field: pa.Field) -> pa.Field:
    return field.with_type(_without_text(field.type))


def _invalid_rows(table: pa.Table, start: int) -> list[int]:
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        if table.num_rows <= 1:
            return [start] * table.num_rows
        half = table.num_rows // 2
        parts = (list(range(half)), list(range(half, table.num_rows)))
        first, second = (table.take(pa.array(part, pa.int64())) for part in parts)
        return _invalid_rows(first, start) + _invalid_rows(second, start + half)
    return []


def _shown(row: pa.Table) -> str:
    """The cells that are text, as a JSON object; bytes that are none as lone surrogates."""
    cells: dict[str, object] = {}
    for name, column in zip(row.column_names, row.columns, strict=True):
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if is_text:
            value = column.cast(pa.large_binary())[0].as_py()
            cells[name] = None if value is None else value.decode("utf-8", "surrogateescape")
    return json.dumps(cells, ensure_ascii=False)
