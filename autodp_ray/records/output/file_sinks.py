"""Files that take rows or tables as they come: JSON lines, a JSON array, Parquet, Arrow, CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from autodp_ray.records.files.atomic_file import AtomicFile
from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.spelling.layout import Layout

_json_of = json.JSONEncoder(ensure_ascii=False).encode
"""One for all rows: `json.dumps` makes another one for each."""


class TableWriter(Protocol):
    """Takes tables of one schema into a stream, as the writers of pyarrow do."""

    def write_table(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line."""

    def __init__(self, file: AtomicFile) -> None:
        self._file = file

    def write(self, rows: Sequence[RawRow]) -> None:
        self._file.write("".join(_json_of(row) + "\n" for row in rows).encode())

    def close(self) -> None:
        self._file.close()


class JsonArray:
    """One JSON array, an object a line; under the keys of `field` where the source has it there."""

    def __init__(self, file: AtomicFile, *, field: str | None = None) -> None:
        keys = [] if field is None else field.split(".")
        self._file = file
        self._separator = "\n"
        self._end = "\n]" + "}" * len(keys) + "\n"
        file.write(("".join(f"{{{json.dumps(key, ensure_ascii=False)}: " for key in keys) + "[").encode())

    def write(self, rows: Sequence[RawRow]) -> None:
        for row in rows:
            self._file.write((self._separator + _json_of(row)).encode())
            self._separator = ",\n"

    def close(self) -> None:
        self._file.write(self._end.encode())
        self._file.close()


class ArrowTables:
    """Parquet, Arrow IPC or CSV of one schema."""

    def __init__(self, file: AtomicFile, *, schema: pa.Schema, layout: Layout) -> None:
        self._file = file
        self._writer: TableWriter
        if layout.format == "parquet":
            self._writer = pq.ParquetWriter(file.stream, schema)
        elif layout.format == "arrow":
            self._writer = IpcWriter(file.stream, schema)
        else:
            options = pacsv.WriteOptions(quoting_style="needed", delimiter=layout.delimiter)
            self._writer = pacsv.CSVWriter(file.stream, schema, write_options=options)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()
        self._file.close()


class IpcWriter:
    """An Arrow IPC file of tables whose dictionaries differ: the format lets a dictionary of a file only grow, so each
    table takes over the values of those before it."""

    def __init__(self, stream: pa.NativeFile, schema: pa.Schema) -> None:
        self._writer = pa.ipc.new_file(stream, schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True))
        self._known: list[pa.Table] = []
        """A table without rows that has all dictionaries so far."""

    def write_table(self, table: pa.Table) -> None:
        united = pa.concat_tables([*self._known, table]).unify_dictionaries()
        self._known = [united.slice(united.num_rows)]
        self._writer.write_table(united.combine_chunks())

    def close(self) -> None:
        self._writer.close()
