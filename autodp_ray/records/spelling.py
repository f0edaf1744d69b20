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
from autodp_ray.records.turns import (
    Turn,
    join_turns,
    parse_turns,
    patch_turns,
    spell_history,
    spell_turns,
    split_turns,
)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one record says, without its id and its extra columns."""

    history: Sequence[Turn]
    question: str | None
    answer: str | None


def is_missing(text: str | None, layout: Layout) -> bool:
    """Whether a text stands for no value."""
    return text is None or text.strip() in layout.nulls


def cell(turns: list[object], layout: Layout) -> object:
    return json.dumps(turns, ensure_ascii=False) if layout.nested_as_text else turns


def is_blank_history(value: object, layout: Layout) -> bool:
    return value is None or value == [] or (isinstance(value, str) and (is_missing(value, layout) or value == "[]"))


def conversation(value: object, system: object, layout: Layout) -> Content:
    """The content of a conversation and of the system prompt beside it; RowError where it holds no pair."""
    turns = parse_turns(value)
    if isinstance(system, str) and not is_missing(system, layout):
        turns.insert(0, ("system", system))
    return content_of(turns, layout)


def content_of(turns: list[Turn], layout: Layout) -> Content:
    """History and last pair, sentinels as None."""
    history, question, answer = split_turns(turns)
    return Content(
        history=history,
        question=None if is_missing(question, layout) else question,
        answer=None if is_missing(answer, layout) else answer,
    )


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
                row[key] = layout.missing.get(key)

    history = list(content.history)
    has_system = layout.system_key is not None and bool(history) and history[0][0] == "system"
    put(layout.system_key, history.pop(0)[1] if has_system else None)
    if layout.turns_key is not None:
        turns = join_turns(history, content.question, content.answer, blank=layout.blank)
        row[layout.turns_key] = cell(spell_turns(turns, layout), layout)
        return row, missing
    instruction, rest = _split_question(content.question, input_text, layout)
    put(layout.question_key, instruction)
    put(layout.input_key, rest)
    put(layout.answer_key, content.answer)
    put(layout.history_key, cell(spell_history(history, layout), layout) if history else None)
    return row, missing


def _split_question(question: str | None, input_text: str | None, layout: Layout) -> tuple[str | None, str | None]:
    """Alpaca's instruction and input: apart again where the question still ends with the input."""
    if input_text is None or is_missing(input_text, layout):
        return question, input_text
    if question == input_text:
        return None, input_text
    ending = INPUT_SEPARATOR + input_text
    if question is not None and question.endswith(ending):
        return question[: -len(ending)], input_text
    return question, None


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
    source: list[Turn] = [("system", str(system))] if is_prompt else []
    value = residue.spelled.get(key)
    if not is_blank_history(value, layout):
        source += parse_turns(value)
    if source != list(content.history):
        return
    for name in (key, system_key):
        if name is not None and name in residue.left_out:
            row.pop(name, None)
        elif name is not None and name in residue.spelled:
            row[name] = residue.spelled[name]


def _apply_conversation(row: Row, residue: Residue, content: Content, layout: Layout) -> None:
    key, system_key = str(layout.turns_key), layout.system_key
    value = residue.spelled[key]
    system = residue.spelled.get(system_key) if system_key is not None else None
    source = conversation(value, system, layout)
    if (list(source.history), source.question, source.answer) == (
        list(content.history),
        content.question,
        content.answer,
    ):
        row[key] = value
    else:
        patched = _patched_conversation(value, system, content, layout)
        if patched is None:
            return
        row[key] = patched
    if system_key is not None:
        row.pop(system_key, None)
        if system_key not in residue.left_out:
            row[system_key] = system


def _patched_conversation(value: object, system: object, content: Content, layout: Layout) -> object | None:
    history = list(content.history)
    if isinstance(system, str) and not is_missing(system, layout):
        if not history or history[0] != ("system", system):
            return None
        history.pop(0)
    turns = json.loads(value) if isinstance(value, str) else value
    if not isinstance(turns, list):
        return None
    new = join_turns(history, content.question, content.answer, blank=layout.blank)
    patched = patch_turns(turns, new, layout)
    return None if patched is None else cell(patched, layout)


def turns_of(history: Sequence[Mapping[str, str | None]] | None) -> list[Turn]:
    """The turns of a record's history cell."""
    return [(str(turn["role"]), turn["content"]) for turn in history or ()]
