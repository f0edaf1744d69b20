"""Finds a dataset's layout: one pass over text formats, the schemas of columnar ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from autodp_ray.records.column_names import looks_like_name
from autodp_ray.records.csv_blocks import csv_head
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.form_detection import FormKeys, find_form
from autodp_ray.records.json_types import INTEGER, NULL, TEXT, WIDE, JsonType, json_type
from autodp_ray.records.layout import ExtraColumn, Layout, encode_schema, free_column, record_schema
from autodp_ray.records.raw_rows import RawBatch, Row, raw_batches
from autodp_ray.records.source_files import READ_ERRORS, SourceFile
from autodp_ray.records.table_files import table_schema
from operators.errors import InputError


def scan_layout(config: DatasetConfig) -> Layout:
    """The layout of the whole input, up to `config.limit` rows.

    Raises: InputError where nothing can be read or the form cannot be told.
    """
    files = find_files(config)
    if files[0].format in ("csv", "parquet", "arrow"):
        return _columnar_layout(config, files)
    return _json_layout(config, files)


def _json_layout(config: DatasetConfig, files: list[SourceFile]) -> Layout:
    batches = raw_batches(files, limit=config.limit)
    head, passed = _first_filled(batches, config.path)
    rows = head.rows or []
    keys = find_form(rows[:100], config, where=head.source)
    scan = _JsonScan(keys=keys, nulls=config.nulls)
    for batch in chain(passed, batches):
        scan.add(batch.rows or [])
    id_is_filled = scan.types.get("id") in (INTEGER, WIDE, TEXT) and "id" not in scan.unfilled
    id_key = _id_key(config, keys, filled_in_all=id_is_filled)
    id_kinds = {INTEGER: "integer", WIDE: "integer", TEXT: "text"}
    id_type = scan.types.get(id_key, NULL) if id_key else TEXT
    extras = scan.extras(taken={id_key} if id_key else set())
    return Layout.model_validate(
        {
            **keys.for_layout(),
            "format": "json" if files[0].format == "json" else "jsonl",
            "id_key": id_key,
            "id_kind": id_kinds.get(id_type, "mixed"),
            "missing": scan.missing,
            "left_out": frozenset(scan.left_out),
            "nulls": config.nulls,
            "order": tuple(scan.order),
            "extras": tuple(extra for extra, _ in extras),
            "schema_ipc": encode_schema(record_schema(extras)),
        }
    )


def _first_filled(batches: Iterator[RawBatch], path: str) -> tuple[RawBatch, list[RawBatch]]:
    """The first batch with a row in it, and what to scan up to it (that batch)."""
    first_bad = None
    for batch in batches:
        if batch.num_rows:
            return batch, [batch]
        first_bad = first_bad or next(iter(batch.bad), None)
    if first_bad is None:
        raise InputError(f"{path!r} holds no rows: there is nothing to process")
    raise InputError(
        f"no row of {path!r} can be read; the first fault is in {first_bad.source} line {first_bad.line}: "
        f"{first_bad.reason}; name the right dataset.format or mend the file"
    )


def _id_key(config: DatasetConfig, keys: FormKeys, *, filled_in_all: bool) -> str | None:
    if config.columns.id is not None:
        return config.columns.id
    if config.ids == "make" or "id" in keys.own:
        return None
    return "id" if filled_in_all else None


class _JsonScan:
    """What the rows have in common: keys in order, types, spellings of missing values."""

    def __init__(self, *, keys: FormKeys, nulls: tuple[str, ...]) -> None:
        self._keys = keys
        self._nulls = nulls
        self.order: dict[str, None] = {}
        self.types: dict[str, JsonType] = {}
        self.missing: dict[str, JsonValue] = {}
        self.left_out: set[str] = set()
        self.unfilled: set[str] = set()
        """Keys that some row leaves out, null or empty."""
        self._rows = 0

    def add(self, rows: list[Row]) -> None:
        for key in dict.fromkeys(chain.from_iterable(rows)):
            if key not in self.order:
                self.order[key] = None
                if self._rows:
                    self._first_missing(key, None, absent=True)
        for key in self.order:
            values = [row.get(key) for row in rows]
            self._look_for_missing(key, values, rows)
            if key not in self._keys.own or key == self._keys.input_key:
                self.types[key] = self.types.get(key, NULL).merged(json_type(values))
        self._rows += len(rows)

    def _look_for_missing(self, key: str, values: list[object], rows: list[Row]) -> None:
        if None in values:
            row = rows[values.index(None)]
            self._first_missing(key, None, absent=key not in row)
        elif "" in values:
            self.unfilled.add(key)
        if key in self._keys.own and key not in self.missing and key not in self.left_out:
            texts = set(self._nulls)
            for value in values:
                if value == [] or (isinstance(value, str) and value.strip() in texts):
                    self._first_missing(key, [] if value == [] else str(value), absent=False)
                    return

    def _first_missing(self, key: str, value: JsonValue, *, absent: bool) -> None:
        if value is None:
            self.unfilled.add(key)
        if key in self.missing or key in self.left_out:
            return
        if absent:
            self.left_out.add(key)
        else:
            self.missing[key] = value

    def extras(self, *, taken: set[str]) -> list[tuple[ExtraColumn, pa.DataType]]:
        found: list[tuple[ExtraColumn, pa.DataType]] = []
        columns: set[str] = set()
        for key in self.order:
            if key in taken or (key in self._keys.own and key != self._keys.input_key):
                continue
            column = free_column(key, columns)
            columns.add(column)
            kind = pa.string() if key == self._keys.input_key else self.types[key].arrow()
            extra = ExtraColumn(key=key, column=column, is_json=kind is None)
            found.append((extra, pa.string() if kind is None else kind))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schemas:
    """The columns of all files together; `conflicts` hold different types in different files."""

    fields: dict[str, pa.DataType]
    conflicts: frozenset[str]


def _columnar_layout(config: DatasetConfig, files: list[SourceFile]) -> Layout:
    schemas = _united_schemas(files)
    head, _ = _first_filled(raw_batches(files, limit=config.limit), config.path)
    assert head.table is not None
    keys = find_form(head.table.slice(0, 100).to_pylist(), config, where=head.source)
    for key in (keys.question_key, keys.answer_key, keys.system_key, keys.input_key):
        if key is not None and not _is_text(schemas.fields[key]):
            raise InputError(f"the column {key!r} of {config.path!r} is {schemas.fields[key]}, not text")
    id_key = _id_key(config, keys, filled_in_all=_fills_ids(config, files, schemas))
    extras: list[tuple[ExtraColumn, pa.DataType]] = []
    for key, kind in schemas.fields.items():
        if key != id_key and (key not in keys.own or key == keys.input_key):
            column = free_column(key, {extra.column for extra, _ in extras})
            plain = kind.value_type if pa.types.is_dictionary(kind) else kind
            if key == keys.input_key or pa.types.is_null(plain) or key in schemas.conflicts:
                plain = pa.string()
            extras.append((ExtraColumn(key=key, column=column, is_json=key in schemas.conflicts), plain))
    nested = keys.turns_key or keys.history_key
    source = pa.schema([pa.field(key, kind) for key, kind in schemas.fields.items()])
    is_integer = id_key is not None and pa.types.is_integer(schemas.fields[id_key])
    return Layout.model_validate(
        {
            **keys.for_layout(),
            "format": files[0].format,
            "id_key": id_key,
            "id_kind": "integer" if is_integer else "text",
            "nested_as_text": nested is not None and _is_text(schemas.fields[nested]),
            "nulls": config.nulls,
            "order": tuple(schemas.fields),
            "extras": tuple(extra for extra, _ in extras),
            "schema_ipc": encode_schema(record_schema(extras)),
            "source_schema_ipc": encode_schema(source),
        }
    )


def _united_schemas(files: list[SourceFile]) -> _Schemas:
    fields: dict[str, pa.DataType] = {}
    conflicts: set[str] = set()
    for file in files:
        for column in _file_schema(file):
            known = fields.setdefault(column.name, column.type)
            if known != column.type:
                fields[column.name], fits = _united_type(known, column.type)
                conflicts.update([] if fits else [column.name])
    return _Schemas(fields=fields, conflicts=frozenset(conflicts))


def _united_type(one: pa.DataType, other: pa.DataType) -> tuple[pa.DataType, bool]:
    try:
        united = pa.unify_schemas([pa.schema({"x": one}), pa.schema({"x": other})], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string(), False
    return united.field("x").type, True


def _file_schema(file: SourceFile) -> pa.Schema:
    try:
        if file.format == "csv":
            head = csv_head(file.open_stream(), delimiter=file.delimiter, label=file.label)
            schema = pa.schema([pa.field(name, pa.string()) for name in head.names])
        else:
            schema = table_schema(file.open_file, format_name=file.format)
    except READ_ERRORS as error:
        raise file.damaged(error) from error
    names = Counter(schema.names)
    for name, count in names.items():
        if count > 1:
            called = f"called {name!r}" if looks_like_name(name) else "of one name"
            raise InputError(
                f"{file.label} has two columns {called}; rename one of them, or give it a first row of names"
            )
    return schema


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(plain)
        or pa.types.is_large_string(plain)
        or pa.types.is_string_view(plain)
        or pa.types.is_null(plain)
    )


def _fills_ids(config: DatasetConfig, files: list[SourceFile], schemas: _Schemas) -> bool:
    """Whether a column called `id` can serve as one: text or integers, in every row."""
    kind = schemas.fields.get("id")
    if kind is None or config.columns.id is not None or not (_is_text(kind) or pa.types.is_integer(kind)):
        return False
    if any("id" not in _file_schema(file).names for file in files):
        return False
    batches = raw_batches(files, limit=config.limit, columns=["id"])
    return all(batch.table is None or _has_every_id(batch.table["id"]) for batch in batches)


def _has_every_id(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == 0 and not pc.any(pc.equal(column.cast(pa.string()), "")).as_py())
