"""The columns of columnar files: of each, and of all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from autodp_ray.records.files.source_files import READ_ERRORS, SourceFile
from autodp_ray.records.formats.column_types import united_type
from autodp_ray.records.formats.csv_blocks import CsvHead, csv_head
from autodp_ray.records.formats.table_files import table_schema
from autodp_ray.records.forms.detection import shown_keys
from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitedSchemas:
    """The columns of all files together; `conflicts` hold different types in different files."""

    fields: dict[str, pa.DataType]
    conflicts: frozenset[str]


def united_schemas(files: Sequence[SourceFile]) -> UnitedSchemas:
    """The columns of all files.

    Raises: InputError as `file_schema` does.
    """
    fields: dict[str, pa.DataType] = {}
    conflicts: set[str] = set()
    for file in files:
        for column in file_schema(file):
            known = fields.setdefault(column.name, column.type)
            kind = united_type(known, column.type)
            fields[column.name] = pa.string() if kind is None or column.name in conflicts else kind
            conflicts.update([column.name] if kind is None else [])
    return UnitedSchemas(fields=fields, conflicts=frozenset(conflicts))


def head_of_csv(file: SourceFile) -> CsvHead:
    """What the beginning of a CSV file tells."""
    return csv_head(file.open_stream(), delimiter=file.delimiter, label=file.label)


def file_schema(file: SourceFile) -> pa.Schema:
    """The columns of one file.

    Raises: InputError where it cannot be read, or has two of one name.
    """
    try:
        if file.format == "csv":
            schema = pa.schema([pa.field(name, pa.string()) for name in head_of_csv(file).names])
        else:
            schema = table_schema(file.open_file, format_name=file.format)
        names = Counter(schema.names)
    except READ_ERRORS as error:
        raise file.damaged(error) from error
    for name, count in names.items():
        if count > 1 and not name.strip():
            raise InputError(
                f"{file.label} has {count} columns without a name; see that it begins with the line of column names, "
                "and delete columns that are empty"
            )
        if count > 1:
            shown = shown_keys([name], may_be_cells=file.format == "csv")
            called = f"called {name!r}" if shown else "of the same name"
            raise InputError(f"{file.label} has two columns {called}; rename one of them")
    return schema
