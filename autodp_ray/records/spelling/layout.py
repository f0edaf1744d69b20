"""How the rows of one dataset are spelled: found once before the rows are read, needed again to write them.

Plain data: it goes through JSON, so that a run's folder can keep it for `autodp apply`.
"""

from __future__ import annotations

import base64
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, JsonValue

from autodp_ray.records.files.file_kinds import FormatName
from operators.rows.record import RECORD_COLUMNS, RECORD_SCHEMA, TURN, TURN_WITH_KEYS

RESIDUE_COLUMN = "_residue"
"""What a source row holds beyond its record (a sentinel, a key left out, keys of turns), as JSON text; mostly null.
It gives an unchanged row back exactly."""
ReplyKind = Literal["turns", "turn", "text"]
"""How an answer stands apart from its conversation: as a list of turns, one turn, or its text."""
JSON_FIELD_METADATA = {"autodp.json": "1"}
"""Marks an extra column whose values are JSON text."""


class ExtraColumn(BaseModel):
    """A key of the source that is no part of the record: `column` is its name in the record table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    column: str
    is_json: bool = False


class FormKeys(BaseModel):
    """A form and the keys it takes from each row. Keys that a form does not have are None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: str
    question_key: str | None = None
    answer_key: str | None = None
    input_key: str | None = None
    history_key: str | None = None
    system_key: str | None = None
    turns_key: str | None = None
    reply_key: str | None = None
    """Where the answer stands apart from the turns that it follows."""
    reply_as: ReplyKind = "turns"
    turn_keys: tuple[str, str] = ("role", "content")
    roles: dict[str, str] = {}
    """The dataset's spelling of a role, by the record's."""
    history_as_pairs: bool = False
    """Whether turns stand as pairs of texts, a question and its answer."""
    pair_keys: tuple[str, str] | None = None
    """Where turns stand as objects that hold a question and its answer: what these are called."""
    has_turn_keys: bool = False
    """Whether turns have tool calls or other keys beside role and content; then a record's turns have `extra`."""

    @property
    def own(self) -> frozenset[str]:
        """All keys that belong to the form."""
        keys = (self.question_key, self.answer_key, self.input_key)
        return frozenset(key for key in (*keys, self.system_key, *self.nested_keys) if key is not None)

    @property
    def nested_keys(self) -> tuple[str, ...]:
        """The keys that hold turns: the conversation's and its reply's, or the history's."""
        return tuple(key for key in (self.turns_key, self.reply_key, self.history_key) if key is not None)


class Layout(FormKeys):
    """The spelling of one dataset: the keys of its form, and how its files and values are written."""

    format: FormatName
    id_key: str | None = None
    id_kind: Literal["text", "integer", "mixed"] = "text"
    role_map: dict[str, str] = {}
    """The record's role by spellings that the config maps (dataset.roles), in lower case."""
    nested_as_text: bool = False
    """Whether conversations and histories are JSON text in a column, as in CSV."""
    missing: dict[str, JsonValue] = {}
    """How a key without a value is spelled, as first seen; null where it is not listed."""
    left_out: frozenset[str] = frozenset()
    """Keys that a row without a value leaves out."""
    delimiter: str = ","
    """Between the cells of CSV."""
    field: str | None = None
    """Of JSON: the path of the list of rows in the one object that a file is."""
    nulls: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    """Every key of the source, in the order first seen."""
    extras: tuple[ExtraColumn, ...] = ()
    schema_ipc: str
    """The record table's schema, as base64 of its IPC form."""
    source_schema_ipc: str | None = None
    """The columnar source's own schema, written again."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of every table that the reader yields."""
        return decode_schema(self.schema_ipc)

    @property
    def source_schema(self) -> pa.Schema | None:
        return None if self.source_schema_ipc is None else decode_schema(self.source_schema_ipc)

    @property
    def is_columnar(self) -> bool:
        return self.format in ("csv", "parquet", "arrow")

    @property
    def roles_by_spelling(self) -> dict[str, str]:
        """The record's role by the one spelling that is written for it."""
        known = {role: role for role in ("system", "user", "assistant")} | self.roles
        return {spelling: role for role, spelling in known.items()}

    @property
    def blank(self) -> str | None:
        """A missing text inside a conversation."""
        return "" if "" in self.nulls else None

    def missing_value(self, key: str) -> JsonValue:
        """How a key without a value is spelled, where the key is not left out."""
        if key in self.missing or self.is_columnar:
            return self.missing.get(key)
        is_text = key in self.text_keys or (key == self.reply_key and self.reply_as == "text")
        if key in self.nested_keys and not is_text:
            return [] if key != self.reply_key or self.reply_as == "turns" else None
        return self.blank if is_text else None

    @property
    def text_keys(self) -> tuple[str, ...]:
        """The keys whose values are text, input last: it travels verbatim in a column of its own."""
        keys = (self.question_key, self.answer_key, self.system_key, self.input_key)
        return tuple(key for key in keys if key is not None)

    @property
    def required_keys(self) -> tuple[str, ...]:
        """The keys without which a row is no row of this form."""
        keys = (self.question_key, self.answer_key, self.turns_key, self.reply_key, self.id_key)
        return tuple(key for key in keys if key is not None)


def encode_schema(schema: pa.Schema) -> str:
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def decode_schema(text: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def record_schema(extras: list[tuple[ExtraColumn, pa.DataType]], *, has_turn_keys: bool = False) -> pa.Schema:
    """The record's columns, the extra ones, the residue."""
    fields = [
        pa.field(extra.column, kind, metadata=JSON_FIELD_METADATA if extra.is_json else None) for extra, kind in extras
    ]
    turn = TURN_WITH_KEYS if has_turn_keys else TURN
    record = [pa.field("history", pa.list_(turn)) if field.name == "history" else field for field in RECORD_SCHEMA]
    return pa.schema([*record, *fields, pa.field(RESIDUE_COLUMN, pa.string())])


def free_column(key: str, taken: set[str]) -> str:
    """A column name for a source key that does not shadow the record's own columns or another extra one."""
    column = key
    while column in RECORD_COLUMNS or column == RESIDUE_COLUMN or column in taken:
        column = f"source_{column}"
    return column
