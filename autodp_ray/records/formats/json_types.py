"""Finds the one Arrow type that holds every value of a JSON key exactly, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

MAX_NESTING = 32
"""Lists and structs within each other; Arrow reads schemas back up to about twice as many."""
_MAX_EXACT_INTEGER = 1 << 53
_MAX_INTEGER = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonType:
    """What the values of a key have in common.

    `name` is null, bool, integer, wide (an integer that no float holds exactly), number, text, list, object or mixed;
    `item` is the type of a list's items, `fields` the fields of an object, in the order first seen.
    """

    name: str
    item: JsonType | None = None
    fields: tuple[tuple[str, JsonType], ...] = ()

    def merged(self, other: JsonType) -> JsonType:
        """The narrowest type that holds the values of both."""
        if self == other or other.name == "null":
            return self
        if self.name == "null":
            return other
        names = {self.name, other.name}
        if names <= {"integer", "number"}:
            return NUMBER
        if names <= {"integer", "wide"}:
            return WIDE
        if self.item is not None and other.item is not None:
            return JsonType(name="list", item=self.item.merged(other.item))
        mine, others = dict(self.fields), dict(other.fields)
        if mine and mine.keys() == others.keys():
            return JsonType(name="object", fields=tuple((key, mine[key].merged(others[key])) for key in mine))
        return MIXED

    def arrow(self, depth: int = 1) -> pa.DataType | None:
        """The Arrow type that restores every value exactly; None where only JSON text does."""
        if depth > MAX_NESTING:
            return None
        if self.item is not None:
            item = self.item.arrow(depth + 1)
            return None if item is None else pa.list_(item)
        if self.name == "object":
            fields = [(key, kind.arrow(depth + 1)) for key, kind in self.fields]
            if any(kind is None for _, kind in fields):
                return None
            return pa.struct([pa.field(key, kind) for key, kind in fields])
        return _SCALARS.get(self.name)


NULL, BOOL, INTEGER, WIDE, NUMBER, TEXT, MIXED = (
    JsonType(name=name) for name in ("null", "bool", "integer", "wide", "number", "text", "mixed")
)
_SCALARS = {
    "null": pa.string(),
    "bool": pa.bool_(),
    "integer": pa.int64(),
    "wide": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
}
_BY_PYTHON_TYPE = {type(None): NULL, bool: BOOL, float: NUMBER, str: TEXT}


def json_type(values: Sequence[object]) -> JsonType:
    """The type of all values together; columns of one scalar type take one pass at C speed."""
    kinds = set(map(type, values))
    found = NULL
    for kind in kinds & _BY_PYTHON_TYPE.keys():
        found = found.merged(_BY_PYTHON_TYPE[kind])
    for value in values if kinds - _BY_PYTHON_TYPE.keys() else ():
        if type(value) not in _BY_PYTHON_TYPE:
            found = found.merged(_type_of(value))
        if found is MIXED:
            return MIXED
    return found


def _type_of(value: object) -> JsonType:
    if isinstance(value, int):
        if abs(value) <= _MAX_EXACT_INTEGER:
            return INTEGER
        return WIDE if -_MAX_INTEGER <= value < _MAX_INTEGER else MIXED
    if isinstance(value, list):
        return JsonType(name="list", item=json_type(value))
    if isinstance(value, dict) and value:
        return JsonType(name="object", fields=tuple((key, json_type([value[key]])) for key in value))
    return MIXED
