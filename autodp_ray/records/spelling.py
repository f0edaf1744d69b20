"""Records spelled as rows of their source's form, and what of a source row its record does not say.

A row's default spelling follows from its record and the dataset's layout. Where the source spells it otherwise, the
difference is the row's residue: it gives an unchanged row back exactly and keeps a changed one's further keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autodp_ray.records.layout import Layout
from autodp_ray.records.raw_rows import Row
from autodp_ray.records.text_boundary import split_off
from autodp_ray.records.turn_spelling import (
    Content,
    content_of,
    is_missing,
    patch_conversation,
    patch_history,
    spell_conversation,
    spell_history,
)
from autodp_ray.records.turns import Turn, items_of, parse_turns

INPUT_SEPARATOR = "\n"
"""Joins Alpaca's instruction and input into one question."""


@dataclass(slots=True, kw_only=True)
class Residue:
    """Where a source row differs from the default spelling of its record: keys spelled otherwise, and keys left out."""

    spelled: Row = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def as_text(self) -> str:
        return json.dumps({"spelled": self.spelled, "left_out": self.left_out}, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str | None) -> Residue:
        return cls() if text is None else cls(**json.loads(text))


def cell(turns: list[object], layout: Layout) -> object:
    return json.dumps(turns, ensure_ascii=False) if layout.nested_as_text else turns


def is_blank_history(value: object, layout: Layout) -> bool:
    return value is None or value == [] or (isinstance(value, str) and (is_missing(value, layout) or value == "[]"))


def conversation(value: object, system: object, layout: Layout) -> Content:
    """The content of a conversation and of the system prompt beside it; RowError where it holds no pair."""
    turns = parse_turns(value, layout.role_map)
    if isinstance(system, str) and not is_missing(system, layout):
        turns.insert(0, Turn("system", system))
    return content_of(turns, layout)


def spell_content(content: Content, input_text: str | None, layout: Layout) -> tuple[Row, set[str]]:
    """The default spelling of a record in its form, and the keys that have no value in it."""
    row: Row = {}
    missing: set[str] = set()

    def put(key: str | None, value: object) -> None:
        if key is not None and value is not None:
            row[key] = value
        elif key is not None:
            missing.add(key)
            if key not in layout.left_out:
                row[key] = layout.missing_value(key)

    first = content.history[0] if content.history else None
    has_system = layout.system_key is not None and first is not None and first.role == "system" and not first.extra
    put(layout.system_key, first.content if first is not None and has_system else None)
    if has_system:
        content = content.without_first_turn()
    if layout.turns_key is not None:
        row[layout.turns_key] = cell(spell_conversation(content, layout), layout)
        return row, missing
    instruction, rest = _split_question(content.question, input_text, layout)
    put(layout.question_key, instruction)
    put(layout.input_key, rest)
    put(layout.answer_key, content.answer)
    put(layout.history_key, cell(spell_history(content.history, layout), layout) if content.history else None)
    return row, missing


def _split_question(question: str | None, input_text: str | None, layout: Layout) -> tuple[str | None, str | None]:
    """Alpaca's instruction and input, apart again wherever it can be told what became of the input."""
    if input_text is None or is_missing(input_text, layout):
        return question, input_text
    if question is None:
        return None, None
    parts = split_off(question, input_text, separator=INPUT_SEPARATOR)
    return (question, None) if parts is None else (parts[0] or None, parts[1] or None)


def apply_residue(row: Row, missing: set[str], residue: Residue, content: Content, layout: Layout) -> None:
    """Give the row the source's own spelling wherever its record still says what the source said."""
    nested = {layout.turns_key, layout.system_key} if layout.turns_key in residue.spelled else {layout.history_key}
    for key in residue.left_out:
        if key in missing and key not in nested:
            row.pop(key, None)
    for key, value in residue.spelled.items():
        if key not in nested and (key in missing or key == layout.id_key):
            row[key] = value
    if layout.turns_key is not None and layout.turns_key in residue.spelled:
        _apply_conversation(row, residue, content, layout)
    elif layout.history_key in residue.spelled.keys() | set(residue.left_out):
        _apply_history(row, missing, residue, content, layout)


def _apply_history(row: Row, missing: set[str], residue: Residue, content: Content, layout: Layout) -> None:
    key, system_key = str(layout.history_key), layout.system_key
    known = residue.spelled.keys() | set(residue.left_out)
    system = residue.spelled.get(str(system_key)) if system_key in known else row.get(str(system_key))
    is_prompt = system_key is not None and isinstance(system, str) and not is_missing(system, layout)
    value = residue.spelled.get(key)
    blank = is_blank_history(value, layout)
    history = content.history[1:] if is_prompt else content.history
    patched = [] if blank else patch_history(items_of(value), history, layout)
    if patched is None or (blank and history):
        return
    for name in (key, system_key):
        if name is not None and name in residue.left_out:
            row.pop(name, None)
        elif name is not None and name in residue.spelled:
            row[name] = residue.spelled[name]
    if not blank:
        row[key] = _as_spelled(value, patched, layout)


def _as_spelled(value: object, items: list[object], layout: Layout) -> object:
    """The items, as the source's own value where they are the same."""
    return value if items == items_of(value) else cell(items, layout)


def _apply_conversation(row: Row, residue: Residue, content: Content, layout: Layout) -> None:
    key, system_key = str(layout.turns_key), layout.system_key
    value = residue.spelled[key]
    system = residue.spelled.get(system_key) if system_key is not None else None
    if isinstance(system, str) and not is_missing(system, layout):
        if not content.history or content.history[0].role != "system":
            return
        system, content = _new_prompt(system, content.history[0].content), content.without_first_turn()
    patched = patch_conversation(items_of(value), content, layout)
    if patched is None:
        return
    row[key] = _as_spelled(value, patched, layout)
    if system_key is not None:
        row.pop(system_key, None)
        if system_key not in residue.left_out:
            row[system_key] = system


def _new_prompt(source: str, text: str | None) -> str:
    return source if text == source else text or ""


def turns_of(history: Sequence[Mapping[str, str | None]] | None) -> list[Turn]:
    """The turns of a record's history cell."""
    return [Turn(str(turn["role"]), turn["content"], turn.get("extra")) for turn in history or ()]
