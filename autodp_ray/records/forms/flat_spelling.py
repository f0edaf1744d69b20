"""Records as rows with a question and an answer in columns of their own."""

from __future__ import annotations

from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.forms.row_spelling import Residue, SpelledRow, as_spelled, cell
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.spelling.text_boundary import split_off
from autodp_ray.records.spelling.turn_spelling import Content, is_missing, patch_history, spell_items
from autodp_ray.records.turns.turns import items_of

INPUT_SEPARATOR = "\n"
"""Joins Alpaca's instruction and input into one question."""


def spell_flat(content: Content, input_text: str | None, layout: Layout) -> SpelledRow:
    """The default spelling of a record; `input_text` is what its question once referred to."""
    spelled = SpelledRow()
    content = spelled.put_system(content, layout)
    instruction, rest = _split_question(content.question, input_text, layout)
    spelled.put(layout.question_key, instruction, layout)
    spelled.put(layout.input_key, rest, layout)
    spelled.put(layout.answer_key, content.answer, layout)
    history = cell(spell_items(content.history, layout), layout) if content.history else None
    spelled.put(layout.history_key, history, layout)
    return spelled


def _split_question(question: str | None, input_text: str | None, layout: Layout) -> tuple[str | None, str | None]:
    """Alpaca's instruction and input, apart again wherever it can be told what became of the input."""
    if input_text is None or is_missing(input_text, layout):
        return question, input_text
    if question is None:
        return None, None
    parts = split_off(question, input_text, separator=INPUT_SEPARATOR)
    return (question, None) if parts is None else (parts[0] or None, parts[1] or None)


def is_blank_history(value: object, layout: Layout) -> bool:
    """Whether a history column holds no turns."""
    return value is None or value == [] or (isinstance(value, str) and (is_missing(value, layout) or value == "[]"))


def apply_flat_residue(spelled: SpelledRow, residue: Residue, content: Content, layout: Layout) -> None:
    """Give the row the source's own spelling wherever its record still says what the source said."""
    spelled.respell(residue, id_key=layout.id_key, nested={layout.history_key})
    if layout.history_key in residue.keys:
        _apply_history(spelled.row, residue, content, layout)


def _apply_history(row: RawRow, residue: Residue, content: Content, layout: Layout) -> None:
    key, system_key = str(layout.history_key), layout.system_key
    system = (residue.spelled if system_key in residue.keys else row).get(str(system_key))
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
        row[key] = as_spelled(value, patched, layout)
