"""Record tables written as files of their source's format and form, streaming, whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

import pyarrow as pa
import xxhash

from actors.storage.storage import Storage
from autodp_ray.records.files.atomic_file import AtomicFile
from autodp_ray.records.formats.column_types import converted, decoded_type, json_like
from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.forms.all_forms import form_named
from autodp_ray.records.forms.row_spelling import Residue, SpelledRow
from autodp_ray.records.output.file_sinks import ArrowTables, JsonArray, JsonLines
from autodp_ray.records.output.output_files import OutputFile, output_file, own_suffix
from autodp_ray.records.spelling.layout import RESIDUE_COLUMN, Layout
from autodp_ray.records.spelling.turn_spelling import Content
from autodp_ray.records.turns.turns import turns_of


def write_records(
    tables: Iterable[pa.Table],
    target: str,
    *,
    layout: Layout,
    keep_columns: Sequence[str] = (),
    rows_per_file: int | None = None,
) -> list[str]:
    """Write all tables to `target`, a file where it ends in the format's suffix, else a folder; their locations.

    A compression's suffix behind the format's own has a text format compressed.
    """
    folder, name = Storage.at(target).place()
    file = output_file(name, layout) if rows_per_file is None else None
    if file is None:
        folder, file = Storage.at(target), OutputFile(stem="data", suffix=own_suffix(layout))
    with RecordWriter(
        folder, layout=layout, file=file, keep_columns=keep_columns, rows_per_file=rows_per_file
    ) as writer:
        for table in tables:
            writer.write(table)
    return writer.files


class RecordWriter:
    """Writes record tables into `file`, or into `STEM-00000.EXT` and on where `rows_per_file` is set.

    The internal columns (`id` where it was made, `origin`, what operators added) are left out unless `keep_columns`
    names them. The files appear together when the writer closes, in place of those that an earlier one left there
    under the same stem; after an error none appears.
    """

    def __init__(
        self,
        folder: Storage,
        *,
        layout: Layout,
        file: OutputFile | None = None,
        keep_columns: Sequence[str] = (),
        rows_per_file: int | None = None,
    ) -> None:
        self.files: list[str] = []
        """Locations of what was written, once the writer is closed."""
        self._folder = folder
        self._layout = layout
        self._file = file or OutputFile(stem="data", suffix=own_suffix(layout))
        self._keep = tuple(name for name in keep_columns if name not in layout.order)
        self._rows_per_file = rows_per_file
        self._open: list[tuple[AtomicFile, str]] = []
        self._sink: JsonLines | JsonArray | ArrowTables | None = None
        self._rows_in_file = 0

    def write(self, table: pa.Table) -> None:
        """Write the rows of one table."""
        start = 0
        while start < table.num_rows:
            if self._sink is None or self._rows_in_file == self._rows_per_file:
                self._next_file(table.schema)
            room = table.num_rows if self._rows_per_file is None else self._rows_per_file - self._rows_in_file
            part = table.slice(start, room)
            self._write_part(part)
            start += part.num_rows
            self._rows_in_file += part.num_rows

    def close(self) -> None:
        """Commit every file; one without rows where nothing was written."""
        if self._sink is None:
            self._next_file(self._layout.schema)
        assert self._sink is not None
        self._sink.close()
        for file, _ in self._open:
            file.commit()
        names = [name for _, name in self._open]
        pattern = re.compile(re.escape(self._file.stem) + r"(-\d{5})?" + re.escape(self._file.suffix))
        for name in self._folder.names() if self._rows_per_file is not None else ():
            if pattern.fullmatch(name) and name not in names:
                self._folder.delete(name)
        self.files = [self._folder.uri(name) for name in names]

    def discard(self) -> None:
        """Leave nothing behind."""
        for file, _ in self._open:
            file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _next_file(self, schema: pa.Schema) -> None:
        if self._sink is not None:
            self._sink.close()
        number = "" if self._rows_per_file is None else f"-{len(self._open):05d}"
        name = str(PurePosixPath(f"{self._file.stem}{number}{self._file.suffix}"))
        file = AtomicFile(self._folder, name, compression=self._file.compression)
        self._open.append((file, name))
        self._rows_in_file = 0
        if self._layout.is_columnar:
            self._sink = ArrowTables(file, schema=self._file_schema(schema), layout=self._layout)
        else:
            self._sink = JsonArray(file, field=self._layout.field) if self._layout.format == "json" else JsonLines(file)

    def _file_schema(self, schema: pa.Schema) -> pa.Schema:
        kept = [schema.field(name).with_nullable(True) for name in self._keep if name in schema.names]
        return pa.schema([*(self._layout.source_schema or ()), *kept])

    def _write_part(self, table: pa.Table) -> None:
        if isinstance(self._sink, ArrowTables):
            self._sink.write(self._spelled_table(table))
        elif self._sink is not None:
            self._sink.write(spelled_rows(table, self._layout, keep_columns=self._keep))

    def _spelled_table(self, table: pa.Table) -> pa.Table:
        """Own keys spelled row by row, extra columns as they are."""
        rows = spelled_rows(table, self._layout)
        schema = self._file_schema(table.schema)
        extras = {extra.key: extra for extra in self._layout.extras if extra.key != self._layout.input_key}
        arrays = []
        for column in schema:
            extra = extras.get(column.name)
            if extra is not None and extra.is_json:
                texts = list(map(_text_of_json, table[extra.column].to_pylist()))
                arrays.append(pa.array(texts, column.type))
            elif extra is not None or column.name in self._keep:
                name = column.name if extra is None else extra.column
                arrays.append(converted(table[name].combine_chunks(), column.type, key=column.name))
            else:
                is_nested = column.name in self._layout.nested_keys
                plain = json_like(column.type) if is_nested else decoded_type(column.type)
                values = [row.get(column.name) for row in rows]
                arrays.append(converted(pa.array(values, plain), column.type, key=column.name))
        return pa.table(arrays, schema=schema)


def _text_of_json(text: str | None) -> str | None:
    """A value of a column that has no one type: texts as they were, anything else as JSON."""
    value = None if text is None else json.loads(text)
    return value if isinstance(value, str) else text


def spelled_rows(table: pa.Table, layout: Layout, *, keep_columns: Sequence[str] = ()) -> list[RawRow]:
    """The rows of a record table in their source's form, keys in the source's order.

    Columnar formats take the extra columns from the table itself, so these rows do not hold them then.
    """
    extras = _extra_values(table, layout)
    kept = [(name, table[name].to_pylist()) for name in keep_columns if name in table.column_names]
    residues = table[RESIDUE_COLUMN].to_pylist() if RESIDUE_COLUMN in table.column_names else [None] * table.num_rows
    inputs = table[_input_column(layout)].to_pylist() if layout.input_key is not None else [None] * table.num_rows
    record = [table[name].to_pylist() for name in ("id", "history", "question", "answer")]
    form = form_named(layout.form)
    rows: list[RawRow] = []
    for index, (row_id, history, question, answer) in enumerate(zip(*record, strict=True)):
        content = Content(history=turns_of(history), question=question, answer=answer)
        spelled = form.spell(content, inputs[index], layout)
        for key, values in extras:
            _put_extra(spelled, key, values[index], layout)
        if layout.id_key is not None:
            spelled.row[layout.id_key] = _spelled_id(row_id, layout)
        if residues[index] is not None:
            form.apply_residue(spelled, Residue.parse(residues[index]), content, layout)
        ordered = {key: spelled.row[key] for key in layout.order if key in spelled.row}
        rows.append({**ordered, **{name: values[index] for name, values in kept}})
    return rows


def _input_column(layout: Layout) -> str:
    return next(extra.column for extra in layout.extras if extra.key == layout.input_key)


def _extra_values(table: pa.Table, layout: Layout) -> list[tuple[str, list[object]]]:
    found: list[tuple[str, list[object]]] = []
    for extra in layout.extras:
        if layout.is_columnar or extra.key == layout.input_key:
            continue
        values = table[extra.column].to_pylist()
        if extra.is_json:
            values = [None if value is None else json.loads(value) for value in values]
        found.append((extra.key, values))
    return found


def _put_extra(spelled: SpelledRow, key: str, value: object, layout: Layout) -> None:
    if value is not None:
        spelled.row[key] = value
        return
    spelled.missing.add(key)
    if key not in layout.left_out:
        spelled.row[key] = None


def _spelled_id(row_id: str, layout: Layout) -> object:
    """The id as the source types it; a generated row's id in a dataset of integer ids becomes an integer too."""
    if layout.id_kind != "integer":
        return row_id
    is_number = row_id.removeprefix("-").isdecimal()
    return int(row_id) if is_number else xxhash.xxh3_64_intdigest(row_id.encode()) >> 1
