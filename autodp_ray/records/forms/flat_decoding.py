"""Rows with a question and an answer in columns of their own, as records."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.records.forms.decoding import Decoded, Notes, is_same, turn_lists
from autodp_ray.records.forms.flat_spelling import INPUT_SEPARATOR, is_blank_history
from autodp_ray.records.forms.row_spelling import cell
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.spelling.raw_columns import RawColumns
from autodp_ray.records.spelling.turn_spelling import spell_items
from autodp_ray.records.turns.turns import RowError, Turn, parse_turns


def decode_flat(raw: RawColumns, layout: Layout) -> Decoded:
    """The records of raw columns, without their extra columns."""
    notes = Notes(raw=raw, layout=layout, residues={})
    values = {key: _without_sentinels(raw.text[key], layout) for key in layout.text_keys}
    for key in layout.text_keys:
        column = raw.text[key] if key == layout.input_key else values[key]
        if column.null_count:
            notes.missing(key, raw.text[key], pc.is_null(column))
    assert layout.question_key is not None
    assert layout.answer_key is not None
    question = values[layout.question_key]
    if layout.input_key is not None:
        rest = values[layout.input_key]
        # null_handling="skip" would drop the rows in which both are null
        joined = pc.binary_join_element_wise(question, rest, INPUT_SEPARATOR, null_handling="emit_null")
        question = pc.coalesce(joined, question, rest)
    history, faults = _history(None if layout.system_key is None else values[layout.system_key], notes)
    return Decoded(
        history=history, question=question, answer=values[layout.answer_key], residues=notes.residues, faults=faults
    )


def _without_sentinels(column: pa.Array, layout: Layout) -> pa.Array:
    if not layout.nulls:
        return column
    sentinel = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(layout.nulls, pa.string()))
    return pc.if_else(sentinel, pa.scalar(None, pa.string()), column)


def _history(system: pa.Array | None, notes: Notes) -> tuple[pa.Array, dict[int, str]]:
    raw, layout = notes.raw, notes.layout
    has_system = system is not None and system.null_count < len(system)
    if layout.history_key is None and not has_system:
        return turn_lists([[]] * raw.num_rows, layout), {}
    faults: dict[int, str] = {}
    prompts = system.to_pylist() if system is not None else [None] * raw.num_rows
    histories: list[list[Turn]] = [[] if prompt is None else [Turn("system", prompt)] for prompt in prompts]
    for row, value in enumerate(raw.nested.get(layout.history_key or "", ())):
        if is_blank_history(value, layout):
            notes.missing_cell(str(layout.history_key), value, row)
            continue
        try:
            turns = [turn._replace(content=turn.content or "") for turn in parse_turns(value, layout.role_map)]
        except RowError as error:
            faults[row] = str(error)
            continue
        histories[row].extend(turns)
        _note_spelling(notes, row, value, turns, has_prompt=prompts[row] is not None)
    return turn_lists(histories, layout), faults


def _note_spelling(notes: Notes, row: int, value: object, turns: list[Turn], *, has_prompt: bool) -> None:
    layout = notes.layout
    moves = layout.system_key is not None and not has_prompt and bool(turns) and turns[0].role == "system"
    if not moves and is_same(cell(spell_items(turns, layout), layout), value):
        return
    notes.at(row).spelled[str(layout.history_key)] = value
    if moves and layout.system_key is not None:
        notes.keep(layout.system_key, notes.raw.text[layout.system_key][row].as_py(), row)
