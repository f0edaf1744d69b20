"""What the rows of a whole dataset say about its form: counts over keys, turns and roles, in bounded memory.

Counts only; what form they speak for is told in form_detection.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.records.column_types import as_json_like, decoded_type
from autodp_ray.records.raw_rows import Row
from autodp_ray.records.turns import CALL, TURN_KEYS, RowError, items_of, keys_of, role_of, turn_of

MAX_DISTINCT = 1000
"""Spellings and combinations of keys that are told apart; what comes after so many is not counted."""


_Key = TypeVar("_Key")


class TurnCounts:
    """How one key of the rows holds turns."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self.num_filled = 0
        """Rows with a value that is neither blank nor an empty list."""
        self.num_lists = 0
        """Of these, rows with a list of turns or the JSON text of one."""
        self.num_pairs = 0
        self.num_objects = 0
        self.keys: Counter[tuple[str, str]] = Counter()
        """How turns name their role and their content."""
        self.roles: Counter[str] = Counter()
        """How roles are spelled."""
        self.ends: Counter[str] = Counter()
        """The record's role of each row's last turn."""
        self.has_keys = False
        """Whether a turn has more to say than its role and its text."""

    def add(self, values: Sequence[object]) -> None:
        """Count the values of some rows."""
        for value in values:
            if value is None or value == [] or (isinstance(value, str) and value.strip() in ("", "[]")):
                continue
            self.num_filled += 1
            if isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("[")):
                self._add_row(value)

    def _add_row(self, value: object) -> None:
        try:
            items = items_of(value)
        except RowError:
            return
        self.num_lists += 1
        role = None
        for item in items:
            if isinstance(item, list):
                self.num_pairs += 1
                role = "assistant"
            elif isinstance(item, dict):
                self.num_objects += 1
                role = self._add_turn(item)
        if role is not None:
            _count(self.ends, role)

    def _add_turn(self, item: dict[str, object]) -> str | None:
        try:
            keys = keys_of(item)
            spelling = item[keys[0]]
            assert isinstance(spelling, str)
            role = role_of(spelling, self._roles)
            if not self.has_keys and (len(item) != 2 or keys[1] not in item or role == CALL):
                self.has_keys = turn_of(item, self._roles).extra is not None
        except RowError:
            return None
        _count(self.keys, keys)
        _count(self.roles, spelling)
        return role

    def add_column(self, column: pa.Array) -> None:
        """Count a column of turns; where the first rows told how it is built, its roles are counted by column."""
        if not (self.num_objects and self._add_plain(column)):
            self.add(column.to_pylist())

    def _add_plain(self, chunk: pa.Array) -> bool:
        if not (pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type)):
            return False
        turns = chunk.flatten()
        [keys] = [*self.keys.keys()][:1] or [("", "")]
        if not pa.types.is_struct(turns.type) or turns.type.get_field_index(keys[0]) < 0:
            return False
        further = [field for field in turns.type if field.name not in keys and not _is_empty(turns, field.name)]
        if (further and not self.has_keys) or any(field.name in _ROLE_KEYS for field in further):
            return False
        spelled = turns.field(keys[0])
        if not pa.types.is_string(spelled.type):
            return False
        roles = {str(each["values"]): int(each["counts"]) for each in spelled.value_counts().to_pylist()}
        if "None" in roles or any(role_of(role, self._roles) == CALL for role in roles):
            return False
        for role, count in roles.items():
            _count(self.roles, role, count)
        filled = int(pc.sum(pc.greater(pc.fill_null(pc.list_value_length(chunk), 0), 0)).as_py() or 0)
        self.num_filled += filled
        self.num_lists += filled
        self.num_objects += len(turns)
        self.keys[keys] += len(turns)
        return True


_ROLE_KEYS = {name for keys in TURN_KEYS for name in keys}


def _is_empty(turns: pa.StructArray, name: str) -> bool:
    column = turns.field(name)
    return bool(column.null_count == len(column))


def _count(counter: Counter[_Key], key: _Key, num: int = 1) -> None:
    if key in counter or len(counter) < MAX_DISTINCT:
        counter[key] += num


def _add_all(counter: Counter[_Key], found: Counter[_Key]) -> None:
    for key, num in found.items():
        _count(counter, key, num)


class FormEvidence:
    """Counts over the rows; `candidates` are the keys that a form could take, `nested` those that could hold turns."""

    def __init__(self, *, candidates: frozenset[str], nested: frozenset[str], roles: Mapping[str, str]) -> None:
        self.candidates = candidates
        self._roles = roles
        self.nested = nested
        self.order: dict[str, None] = {}
        """Every key, in the order first seen."""
        self.num_rows = 0
        self.filled_keys: Counter[tuple[str, ...]] = Counter()
        """Rows by which of the candidate keys they fill."""
        self.present_keys: Counter[tuple[str, ...]] = Counter()
        """Rows by which of them they have, filled or not."""
        self.num_filled: Counter[str] = Counter()
        self.num_texts: Counter[str] = Counter()
        """Of the rows that fill a candidate key, those with a text there."""
        self.turns: dict[str, TurnCounts] = {}

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Count rows of JSON."""
        for row in rows:
            for key in row:
                self.order.setdefault(key)
        self.num_rows += len(rows)
        wanted = [key for key in self.order if key in self.candidates]
        filled = Counter(tuple(key for key in wanted if row.get(key) is not None) for row in rows)
        _add_all(self.filled_keys, filled)
        _add_all(self.present_keys, Counter(tuple(key for key in wanted if key in row) for row in rows))
        for key in wanted:
            kinds = Counter(type(row.get(key)) for row in rows)
            self._add_kinds(key, sum(kinds.values()) - kinds[type(None)], kinds[str])
            if key in self.nested and kinds.keys() != {type(None)}:
                self.turn_counts(key).add([row.get(key) for row in rows])

    def add_table(self, table: pa.Table) -> None:
        """Count rows of a columnar file; only the candidate columns need be there."""
        wanted = [key for key in table.column_names if key in self.candidates]
        self.num_rows += table.num_rows
        columns = [pc.is_valid(table[key]).combine_chunks() for key in wanted]
        if columns:
            names = [str(at) for at in range(len(wanted))]
            groups = pa.table(columns, names=names).group_by(names).aggregate([([], "count_all")])
            found: Counter[tuple[str, ...]] = Counter()
            for group in groups.to_pylist():
                filled = tuple(key for at, key in enumerate(wanted) if group[str(at)])
                found[filled] += group["count_all"]
            _add_all(self.filled_keys, found)
            _count(self.present_keys, tuple(wanted), table.num_rows)
        for key in wanted:
            num_valid = len(table[key]) - table[key].null_count
            self._add_kinds(key, num_valid, num_valid if is_text(table[key].type) else 0)
            if key in self.nested:
                self.turn_counts(key).add_column(as_json_like(table[key].combine_chunks(), key=key))

    def _add_kinds(self, key: str, num_filled: int, num_texts: int) -> None:
        self.num_filled[key] += num_filled
        self.num_texts[key] += num_texts

    def turn_counts(self, key: str) -> TurnCounts:
        """The counts of a key's turns; all zero where it has none."""
        return self.turns.setdefault(key, TurnCounts(self._roles))

    def is_mostly_text(self, key: str) -> bool:
        """Whether most rows that fill a key have a text there; a key that no row fills may be a text."""
        return 2 * self.num_texts[key] >= self.num_filled[key]

    def is_mostly_turns(self, key: str) -> bool:
        """The same for lists of turns."""
        counts = self.turn_counts(key)
        return 2 * counts.num_lists >= counts.num_filled

    def num_with(self, *keys: str) -> int:
        """Rows that have all the keys, filled or not."""
        return sum(num for present, num in self.present_keys.items() if set(keys) <= set(present))

    def num_filling(self, *keys: str) -> int:
        """Rows that fill all the keys."""
        return sum(num for filled, num in self.filled_keys.items() if set(keys) <= set(filled))

    def num_with_any(self, *keys: str) -> int:
        """Rows that fill one of the keys at least."""
        return sum(num for filled, num in self.filled_keys.items() if set(keys) & set(filled))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts, or nothing at all."""
    plain = decoded_type(kind)
    return bool(
        pa.types.is_string(plain)
        or pa.types.is_large_string(plain)
        or pa.types.is_string_view(plain)
        or pa.types.is_null(plain)
    )
