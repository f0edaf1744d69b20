"""Raw rows as columns by a layout: text checked and typed, nested values as Python, extra columns as Arrow.

What cannot be typed comes back as a fault of its row. Knows keys, not what they mean (see forms/base.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from autodp_ray.records.formats.column_types import as_json_like, converted
from autodp_ray.records.formats.raw_rows import BadRow, RawBatch, RawRow
from autodp_ray.records.spelling.layout import Layout
from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class RawColumns:
    """The values of a batch by key: `text` as string arrays, `nested` as Python values, `extras` by column name.

    `absent` holds, by key, the rows that leave the key out; `ids` is None where ids are to be made.
    """

    num_rows: int
    text: dict[str, pa.Array]
    extras: dict[str, pa.Array]
    nested: dict[str, Sequence[object]]
    ids: list[object] | None = None
    absent: dict[str, frozenset[int]] = field(default_factory=dict)

    def leaves_out(self, key: str, row: int) -> bool:
        return row in self.absent.get(key, frozenset())


def typed_columns(batch: RawBatch, layout: Layout) -> tuple[RawColumns, RawBatch, list[BadRow]]:
    """The columns, the batch of the rows that they hold, and the rows that fit no column.

    Raises: UnicodeEncodeError where `unicode_faults` has something to say.
    """
    if batch.table is not None:
        return _table_columns(batch, layout)
    rows = batch.rows or []
    faults = _row_faults(rows, layout)
    kept, bad = without_rows(batch, faults) if faults else (batch, [])
    return _row_columns(kept.rows or [], layout), kept, bad


def unicode_faults(batch: RawBatch) -> dict[int, str]:
    """The rows whose text is no Unicode, which Arrow refuses with UnicodeEncodeError."""
    return {index: "invalid UTF-8" for index, row in enumerate(batch.rows or []) if not _is_unicode(row)}


def without_rows(batch: RawBatch, faults: dict[int, str]) -> tuple[RawBatch, list[BadRow]]:
    """The batch without the faulty rows, and those as bad rows."""
    good = [index for index in range(batch.num_rows) if index not in faults]
    bad = [
        BadRow(source=batch.source, line=batch.lines[index], reason=reason, raw=_raw_text(batch, index))
        for index, reason in sorted(faults.items())
    ]
    lines = [batch.lines[index] for index in good]
    if batch.table is not None:
        return RawBatch(source=batch.source, lines=lines, table=batch.table.take(pa.array(good, pa.int64()))), bad
    rows = batch.rows or []
    return RawBatch(source=batch.source, lines=lines, rows=[rows[index] for index in good]), bad


def _raw_text(batch: RawBatch, index: int) -> str:
    row = batch.table.slice(index, 1).to_pylist()[0] if batch.table is not None else (batch.rows or [])[index]
    return json.dumps(row, ensure_ascii=False, default=str)


def _row_faults(rows: Sequence[RawRow], layout: Layout) -> dict[int, str]:
    faults: dict[int, str] = {}
    for key in layout.required_keys:
        for index in [index for index, row in enumerate(rows) if key not in row]:
            faults.setdefault(index, f"no key {key!r}")
    for key in layout.text_keys:
        values = [row.get(key) for row in rows]
        if not {type(value) for value in values} <= {str, type(None)}:
            for index, value in enumerate(values):
                if not isinstance(value, str | None):
                    faults.setdefault(index, f"{key!r} is no text")
    if layout.id_key is not None:
        for index, row in enumerate(rows):
            value = row.get(layout.id_key)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                faults.setdefault(index, f"{layout.id_key!r} is no id")
    return faults


def _is_unicode(row: RawRow) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _row_columns(rows: Sequence[RawRow], layout: Layout) -> RawColumns:
    schema = layout.schema
    extras: dict[str, pa.Array] = {}
    for extra in layout.extras:
        values = [row.get(extra.key) for row in rows]
        if extra.is_json:
            values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        extras[extra.column] = _array(values, schema.field(extra.column).type, extra.key)
    id_key = layout.id_key
    return RawColumns(
        num_rows=len(rows),
        text={key: pa.array([row.get(key) for row in rows], pa.string()) for key in layout.text_keys},
        extras=extras,
        nested={key: [row.get(key) for row in rows] for key in layout.nested_keys},
        ids=None if id_key is None else [row[id_key] for row in rows],
        absent=_absent(rows, layout),
    )


def _array(values: list[object], kind: pa.DataType, key: str) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"the input changed while it was read: {key!r} holds values of another type now") from error


def _absent(rows: Sequence[RawRow], layout: Layout) -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for key in layout.order:
        missing = [index for index, row in enumerate(rows) if key not in row]
        if missing:
            found[key] = frozenset(missing)
    return found


def _table_columns(batch: RawBatch, layout: Layout) -> tuple[RawColumns, RawBatch, list[BadRow]]:
    table, schema = batch.table, layout.schema
    assert table is not None
    bad: list[BadRow] = []
    if layout.id_key is not None:
        ids = _column(table, layout.id_key, pa.string())
        faults = {index: f"{layout.id_key!r} is no id" for index, value in enumerate(ids.to_pylist()) if not value}
        if faults:
            batch, bad = without_rows(batch, faults)
            table = batch.table
            assert table is not None
    extras = {}
    for extra in layout.extras:
        kind = schema.field(extra.column).type
        extras[extra.column] = _json_column(table, extra.key) if extra.is_json else _column(table, extra.key, kind)
    columns = RawColumns(
        num_rows=table.num_rows,
        text={key: _column(table, key, pa.string()) for key in layout.text_keys},
        extras=extras,
        nested={key: _nested_values(table, key, layout) for key in layout.nested_keys},
        ids=None if layout.id_key is None else _column(table, layout.id_key, pa.string()).to_pylist(),
    )
    return columns, batch, bad


def _column(table: pa.Table, key: str, kind: pa.DataType) -> pa.Array:
    if table.schema.get_field_index(key) < 0:
        return pa.nulls(table.num_rows, kind)
    column = table[key].combine_chunks()
    return converted(column, kind, key=key)


def _json_column(table: pa.Table, key: str) -> pa.Array:
    values = table[key].to_pylist() if table.schema.get_field_index(key) >= 0 else [None] * table.num_rows
    texts = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
    return pa.array(texts, pa.string())


def _nested_values(table: pa.Table, key: str, layout: Layout) -> list[object]:
    if table.schema.get_field_index(key) < 0:
        return [None] * table.num_rows
    values = as_json_like(table[key].combine_chunks(), key=key).to_pylist()
    return [_without_null_fields(value, layout) for value in values]


def _without_null_fields(value: object, layout: Layout) -> object:
    """Turns without the struct fields that they leave null, which Arrow puts into every turn and call."""
    if not isinstance(value, list):
        return value
    kept = {*layout.turn_keys, *(layout.pair_keys or ())}
    return [
        {key: _filled(cell) for key, cell in item.items() if cell is not None or key in kept}
        if isinstance(item, dict)
        else item
        for item in value
    ]


def _filled(value: object) -> object:
    if isinstance(value, dict):
        return {key: _filled(cell) for key, cell in value.items() if cell is not None}
    return list(map(_filled, value)) if isinstance(value, list) else value
