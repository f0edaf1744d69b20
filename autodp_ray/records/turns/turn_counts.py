"""Counts over the turns that one key of many rows holds: how they are spelled, and by whom, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.records.turns.turns import (
    CALL,
    TURN_KEYS,
    RowError,
    keys_of,
    pair_places,
    parsed_json,
    role_of,
    turns_in,
)

MAX_DISTINCT = 1000
"""Spellings and combinations of keys that are told apart; what comes after so many is not counted."""


_Key = TypeVar("_Key")


class TurnCounts:
    """How one key of the rows holds turns. Counts of neighbouring parts of the rows, of which the later ones have no
    limit of distinct keys, are added up to those of one pass over all."""

    def __init__(self, roles: Mapping[str, str], *, max_distinct: int | None = MAX_DISTINCT) -> None:
        self._roles = roles
        self._max_distinct = max_distinct
        self.num_filled = 0
        """Rows with a value that is neither blank nor an empty list."""
        self.num_lists = 0
        """Of these, rows with a list or the JSON text of one."""
        self.num_turn_lists = 0
        """Of the lists, those that hold a turn, or a question with its answer."""
        self.num_single = 0
        """Of these, rows with one object or the JSON text of one."""
        self.num_pairs = 0
        """Items that are lists of a question and its answer."""
        self.num_objects = 0
        """Items that are objects: single turns, or a question with its answer."""
        self.pair_keys: Counter[tuple[str, str]] = Counter()
        """How objects of the second kind name them."""
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
            if isinstance(value, list | dict) or (isinstance(value, str) and value.lstrip().startswith(("[", "{"))):
                self._add_row(value)

    def _add_texts(self, column: pa.Array) -> None:
        blank = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(["", "[]"], column.type))
        self.num_filled += len(column) - column.null_count - (pc.sum(blank).as_py() or 0)
        may_be_turns = pc.and_not(pc.match_substring_regex(column, r"^\s*[\[{]"), blank)
        for value in column.filter(may_be_turns).to_pylist():
            self._add_row(value)

    def _add_row(self, value: object) -> None:
        try:
            parsed = parsed_json(value)
        except RowError:
            return
        items = parsed if isinstance(parsed, list) else [parsed]
        self.num_lists += isinstance(parsed, list)
        self.num_single += isinstance(parsed, dict)
        role = None
        for item in items:
            if isinstance(item, list):
                self.num_pairs += 1
                role = "assistant"
            elif isinstance(item, dict):
                self.num_objects += 1
                role = self._add_object(item)
        if role is not None:
            self.num_turn_lists += isinstance(parsed, list)
            count(self.ends, role, limit=self._max_distinct)

    def _add_object(self, item: dict[str, object]) -> str | None:
        places = pair_places(item)
        if places is None:
            return self._add_turn(item)
        question, answer = map(str, places[-2:])
        count(self.pair_keys, (question, answer), limit=self._max_distinct)
        if not self.has_keys and len(item) != 2:
            self.has_keys = self._has_more(item)
        return "assistant"

    def _add_turn(self, item: dict[str, object]) -> str | None:
        try:
            keys = keys_of(item)
            spelling = item[keys[0]]
            assert isinstance(spelling, str)
            role = role_of(spelling, self._roles)
        except RowError:
            return None
        if not self.has_keys and (len(item) != 2 or keys[1] not in item or role == CALL):
            self.has_keys = self._has_more(item)
        count(self.keys, keys, limit=self._max_distinct)
        count(self.roles, spelling, limit=self._max_distinct)
        return role

    def _has_more(self, item: dict[str, object]) -> bool:
        """Whether a turn says more than its role and its text; a broken one says nothing."""
        try:
            return any(turn.extra is not None for turn in turns_in(item, self._roles))
        except RowError:
            return False

    @property
    def has_list_pairs(self) -> bool:
        """Whether most items are lists of a question and its answer."""
        return self.num_pairs > self.num_objects

    @property
    def usual_pair_keys(self) -> tuple[str, str] | None:
        """What a question and its answer are called, where most items are objects that hold both."""
        is_usual = 2 * self.pair_keys.total() > self.num_objects + self.num_pairs
        return self.pair_keys.most_common(1)[0][0] if is_usual else None

    def add_counts(self, later: TurnCounts) -> None:
        """Add the counts of rows that come after all those counted here."""
        self.num_filled += later.num_filled
        self.num_lists += later.num_lists
        self.num_turn_lists += later.num_turn_lists
        self.num_single += later.num_single
        self.num_pairs += later.num_pairs
        self.num_objects += later.num_objects
        add_all(self.pair_keys, later.pair_keys, limit=self._max_distinct)
        add_all(self.keys, later.keys, limit=self._max_distinct)
        add_all(self.roles, later.roles, limit=self._max_distinct)
        add_all(self.ends, later.ends, limit=self._max_distinct)
        self.has_keys |= later.has_keys

    def add_column(self, column: pa.Array) -> None:
        """Count a column of turns; where the first rows told how it is built, its roles are counted by column."""
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            self._add_texts(column)
        elif not (self.num_objects and self._add_plain(column)):
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
        for role, num in roles.items():
            count(self.roles, role, num, limit=self._max_distinct)
        lengths = pc.fill_null(pc.list_value_length(chunk), 0)
        filled = int(pc.sum(pc.greater(lengths, 0)).as_py() or 0)
        self._add_ends(spelled, lengths)
        self.num_filled += filled
        self.num_lists += filled
        self.num_turn_lists += filled
        self.num_objects += len(turns)
        self.keys[keys] += len(turns)
        return True

    def _add_ends(self, spelled: pa.StringArray, lengths: pa.Array) -> None:
        """Count the roles of the last turns."""
        lasts = np.cumsum(lengths.to_numpy()) - 1
        ends = spelled.take(pa.array(lasts[lengths.to_numpy() > 0]))
        for each in ends.value_counts().to_pylist():
            count(self.ends, role_of(each["values"], self._roles), int(each["counts"]), limit=self._max_distinct)


_ROLE_KEYS = {name for keys in TURN_KEYS for name in keys}


def _is_empty(turns: pa.StructArray, name: str) -> bool:
    column = turns.field(name)
    return bool(column.null_count == len(column))


def count(counter: Counter[_Key], key: _Key, num: int = 1, *, limit: int | None) -> None:
    if limit is None or key in counter or len(counter) < limit:
        counter[key] += num


def add_all(counter: Counter[_Key], found: Counter[_Key], *, limit: int | None) -> None:
    for key, num in found.items():
        count(counter, key, num, limit=limit)
