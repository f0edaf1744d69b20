"""Parquet and Arrow files as bounded tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

MAX_ROWS = 4096
MAX_BYTES = 16 << 20


def parquet_tables(source: pa.NativeFile, *, columns: list[str] | None) -> Iterator[pa.Table]:
    """Tables of at most `MAX_ROWS` rows and about `MAX_BYTES`."""
    file = pq.ParquetFile(source)
    num_bytes = sum(file.metadata.row_group(index).total_byte_size for index in range(file.metadata.num_row_groups))
    row_bytes = max(1, num_bytes // max(1, file.metadata.num_rows))
    batch_rows = min(MAX_ROWS, max(16, MAX_BYTES // row_bytes))
    for batch in file.iter_batches(batch_size=batch_rows, columns=columns, use_threads=False):
        yield pa.Table.from_batches([batch])


def arrow_tables(reopen: Callable[[], pa.NativeFile], *, columns: list[str] | None) -> Iterator[pa.Table]:
    """Tables of an Arrow IPC file or stream (what `datasets` keeps in its cache)."""
    for batch in _record_batches(reopen):
        table = pa.Table.from_batches([batch])
        kept = table if columns is None else table.select(columns)
        step = min(MAX_ROWS, max(16, MAX_BYTES // max(1, kept.nbytes // max(1, kept.num_rows))))
        for start in range(0, kept.num_rows, step):
            yield kept.slice(start, step)


def _record_batches(reopen: Callable[[], pa.NativeFile]) -> Iterator[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(reopen())
    except pa.ArrowInvalid:
        yield from pa.ipc.open_stream(reopen())
        return
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)


def table_schema(reopen: Callable[[], pa.NativeFile], *, format_name: str) -> pa.Schema:
    """The schema of a Parquet or Arrow file, without reading its rows."""
    if format_name == "parquet":
        return pq.read_schema(reopen())
    try:
        return pa.ipc.open_file(reopen()).schema
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(reopen()).schema
