"""What spelling records as rows of any form shares: a row in the making, and what a source row says beyond its record.

A row's default spelling follows from its record and the dataset's layout. Where the source spells it otherwise, the
difference is the row's residue: it gives an unchanged row back exactly and keeps a changed one's further keys.
"""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import dataclass, field

from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.spelling.turn_spelling import Content
from autodp_ray.records.turns.turns import items_of


@dataclass(slots=True, kw_only=True)
class Residue:
    """Where a source row differs from the default spelling of its record: keys spelled otherwise, and keys left out."""

    spelled: RawRow = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def as_text(self) -> str:
        return json.dumps({"spelled": self.spelled, "left_out": self.left_out}, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str | None) -> Residue:
        return cls() if text is None else cls(**json.loads(text))

    @property
    def keys(self) -> Set[str]:
        """All keys that the source row does not spell as the dataset does."""
        return self.spelled.keys() | set(self.left_out)


@dataclass(slots=True, kw_only=True)
class SpelledRow:
    """A row in the making; `missing` are the keys that have no value in it."""

    row: RawRow = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def put(self, key: str | None, value: object, layout: Layout) -> None:
        """Set a key, or spell that it has no value; a form that has no such key passes None."""
        if key is not None and value is not None:
            self.row[key] = value
        elif key is not None:
            self.missing.add(key)
            if key not in layout.left_out:
                self.row[key] = layout.missing_value(key)

    def put_system(self, content: Content, layout: Layout) -> Content:
        """Set the system prompt's own column where there is one; the content that is left to spell."""
        first = content.history[0] if content.history else None
        has_system = layout.system_key is not None and first is not None and first.role == "system" and not first.extra
        self.put(layout.system_key, first.content if first is not None and has_system else None, layout)
        return content.without_first_turn() if has_system else content

    def respell(self, residue: Residue, *, id_key: str | None, nested: Set[str | None]) -> None:
        """Spell keys without a value as the source did; `nested` are keys that hold turns, left to the form."""
        for key in residue.left_out:
            if key in self.missing and key not in nested:
                self.row.pop(key, None)
        for key, value in residue.spelled.items():
            if key not in nested and (key in self.missing or key == id_key):
                self.row[key] = value


def cell(turns: list[object], layout: Layout) -> object:
    """Turns as the value of one key."""
    return json.dumps(turns, ensure_ascii=False) if layout.nested_as_text else turns


def as_spelled(value: object, items: list[object], layout: Layout) -> object:
    """The items, as the source's own value where they are the same."""
    return value if items == items_of(value) else cell(items, layout)
