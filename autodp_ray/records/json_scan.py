"""What the rows of a JSON dataset have in common: keys in order, types, spellings of missing values, in one pass.

Which keys belong to the form is told at the end, so all of them are looked at.
"""

from __future__ import annotations

from itertools import chain

import pyarrow as pa
from pydantic import JsonValue

from autodp_ray.records.formats.json_types import MIXED, NULL, JsonType, json_type
from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.spelling.layout import ExtraColumn, FormKeys, free_column

TOOLS_KEYS = ("tools", "functions")
"""Definitions of tools differ from row to row, so they travel as JSON text: one type for all would invent nulls."""


class JsonScan:
    """Counts over rows; `untyped` are keys with turns, whose types nobody asks for."""

    def __init__(self, *, nulls: tuple[str, ...], untyped: frozenset[str]) -> None:
        self._nulls = frozenset(nulls)
        self._untyped = untyped
        self.order: dict[str, None] = {}
        self.types: dict[str, JsonType] = {}
        self.unfilled: set[str] = set()
        """Keys that some row leaves out, null or empty."""
        self._num_rows = 0
        self._nulls_seen: dict[str, tuple[int, bool]] = {}
        """By key the first row without a value, and whether it leaves the key out."""
        self._sentinels_seen: dict[str, tuple[int, JsonValue]] = {}
        """By key the first row with another spelling of a missing value, and that spelling."""

    def add(self, rows: list[RawRow]) -> None:
        """Look at more rows."""
        for key in dict.fromkeys(chain.from_iterable(rows)):
            self._note_key(key)
        for key in self.order:
            values = [row.get(key) for row in rows]
            if None in values:
                first = values.index(None)
                self._note_null(key, self._num_rows + first, absent=key not in rows[first])
            elif "" in values:
                self.unfilled.add(key)
            if key not in self._sentinels_seen:
                self._look_for_sentinel(key, values)
            if key not in self._untyped:
                self.types[key] = self.types.get(key, NULL).merged(json_type(values))
        self._num_rows += len(rows)

    def of_a_part(self) -> JsonScan:
        """Nothing seen yet of later rows."""
        return JsonScan(nulls=tuple(self._nulls), untyped=self._untyped)

    def add_scan(self, later: JsonScan) -> None:
        """Add what was seen in rows that come after all those seen here."""
        for key in later.order:
            self._note_key(key)
            if key in later.types:
                self.types[key] = self.types.get(key, NULL).merged(later.types[key])
        for key in self.order if later._num_rows else ():
            first, absent = later._nulls_seen.get(key, (0, True))
            if key in later._nulls_seen or key not in later.order:
                self._note_null(key, self._num_rows + first, absent=absent)
        for key, (first, spelling) in later._sentinels_seen.items():
            self._sentinels_seen.setdefault(key, (self._num_rows + first, spelling))
        self.unfilled |= later.unfilled
        self._num_rows += later._num_rows

    def _note_key(self, key: str) -> None:
        """Of a key that comes late, the first row had none."""
        if key not in self.order:
            self.order[key] = None
            if self._num_rows:
                self._note_null(key, 0, absent=True)

    def _note_null(self, key: str, row: int, *, absent: bool) -> None:
        self.unfilled.add(key)
        self._nulls_seen.setdefault(key, (row, absent))

    def _look_for_sentinel(self, key: str, values: list[object]) -> None:
        for row, value in enumerate(values, self._num_rows):
            if value == [] or (isinstance(value, str) and value.strip() in self._nulls):
                self._sentinels_seen[key] = (row, [] if value == [] else str(value))
                return

    def spellings(self, keys: FormKeys) -> tuple[dict[str, JsonValue], frozenset[str]]:
        """How keys spell that they have no value, and which keys are left out then; as first seen."""
        missing: dict[str, JsonValue] = {}
        left_out: set[str] = set()
        for key in self.order:
            null = self._nulls_seen.get(key)
            sentinel = self._sentinels_seen.get(key) if key in keys.own else None
            if sentinel is not None and (null is None or sentinel[0] < null[0]):
                missing[key] = sentinel[1]
            elif null is not None and null[1]:
                left_out.add(key)
            elif null is not None:
                missing[key] = None
        return missing, frozenset(left_out)

    def extras(self, keys: FormKeys, *, taken: set[str]) -> list[tuple[ExtraColumn, pa.DataType]]:
        """The columns of the keys that do not belong to the form."""
        found: list[tuple[ExtraColumn, pa.DataType]] = []
        columns: set[str] = set()
        for key in self.order:
            if key in taken or (key in keys.own and key != keys.input_key):
                continue
            column = free_column(key, columns)
            columns.add(column)
            kind = pa.string() if key == keys.input_key else self._type_of(key)
            extra = ExtraColumn(key=key, column=column, is_json=kind is None)
            found.append((extra, pa.string() if kind is None else kind))
        return found

    def _type_of(self, key: str) -> pa.DataType | None:
        kind = self.types.get(key, MIXED)
        is_nested = kind.name in ("list", "object")
        return None if is_nested and key in TOOLS_KEYS else kind.arrow()
