"""Raw rows to records, for the four forms: Alpaca, ShareGPT, chat and named columns (back again: spelling.py).

The flat forms (Alpaca, named columns) are decoded by column, the conversations row by row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.records.layout import Layout
from autodp_ray.records.raw_columns import RawColumns
from autodp_ray.records.raw_rows import Row
from autodp_ray.records.spelling import (
    INPUT_SEPARATOR,
    Residue,
    cell,
    conversation,
    is_blank_history,
    spell_content,
)
from autodp_ray.records.turn_spelling import Content, content_of, spell_history
from autodp_ray.records.turns import RowError, Turn, parse_turns, plain_turns
from operators.contract.errors import InputError
from operators.rows.record import TURN, TURN_WITH_KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Record columns [N] of a raw batch; `faults` are rows that cannot become records, by position."""

    history: pa.Array
    question: pa.Array
    answer: pa.Array
    residues: dict[int, Residue]
    faults: dict[int, str]


def decode(raw: RawColumns, layout: Layout) -> Decoded:
    """The records of raw columns."""
    decoded = _decode_conversations(raw, layout) if layout.turns_key else _decode_flat(raw, layout)
    for extra in layout.extras:
        column = raw.extras[extra.column]
        if raw.absent.get(extra.key) or (column.null_count and extra.key in layout.left_out):
            _note_missing(extra.key, column, pc.is_null(column), raw, layout, decoded.residues)
    return decoded


def _decode_flat(raw: RawColumns, layout: Layout) -> Decoded:
    residues: dict[int, Residue] = {}
    values = {key: _without_sentinels(raw.text[key], layout) for key in layout.text_keys}
    for key in layout.text_keys:
        column = raw.text[key] if key == layout.input_key else values[key]
        if column.null_count:
            _note_missing(key, raw.text[key], pc.is_null(column), raw, layout, residues)
    assert layout.question_key is not None
    assert layout.answer_key is not None
    question = values[layout.question_key]
    if layout.input_key is not None:
        rest = values[layout.input_key]
        # null_handling="skip" would drop the rows in which both are null
        joined = pc.binary_join_element_wise(question, rest, INPUT_SEPARATOR, null_handling="emit_null")
        question = pc.coalesce(joined, question, rest)
    system = None if layout.system_key is None else values[layout.system_key]
    history, faults = _flat_history(raw, system, layout, residues)
    return Decoded(
        history=history, question=question, answer=values[layout.answer_key], residues=residues, faults=faults
    )


def _without_sentinels(column: pa.Array, layout: Layout) -> pa.Array:
    if not layout.nulls:
        return column
    sentinel = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(layout.nulls, pa.string()))
    return pc.if_else(sentinel, pa.scalar(None, pa.string()), column)


def _note_missing(
    key: str, column: pa.Array, mask: pa.Array, raw: RawColumns, layout: Layout, residues: dict[int, Residue]
) -> None:
    """Note the masked rows that do not spell a missing value as the dataset does."""
    for row in np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist():
        _note(key, column[row].as_py(), row, raw, layout, residues)


def _note(key: str, value: object, row: int, raw: RawColumns, layout: Layout, residues: dict[int, Residue]) -> None:
    if raw.leaves_out(key, row):
        if key not in layout.left_out:
            residues.setdefault(row, Residue()).left_out.append(key)
    elif key in layout.left_out or layout.missing_value(key) != value:
        residues.setdefault(row, Residue()).spelled[key] = value


def _flat_history(
    raw: RawColumns, system: pa.Array | None, layout: Layout, residues: dict[int, Residue]
) -> tuple[pa.Array, dict[int, str]]:
    has_system = system is not None and system.null_count < len(system)
    if layout.history_key is None and not has_system:
        return _turn_lists([[]] * raw.num_rows, layout), {}
    faults: dict[int, str] = {}
    prompts = system.to_pylist() if system is not None else [None] * raw.num_rows
    histories: list[list[Turn]] = [[] if prompt is None else [Turn("system", prompt)] for prompt in prompts]
    for row, value in enumerate(raw.nested or ()):
        key = str(layout.history_key)
        if is_blank_history(value, layout):
            _note(key, value, row, raw, layout, residues)
            continue
        try:
            turns = [turn._replace(content=turn.content or "") for turn in parse_turns(value, layout.role_map)]
        except RowError as error:
            faults[row] = str(error)
            continue
        histories[row].extend(turns)
        moves = layout.system_key is not None and prompts[row] is None and turns[:1] and turns[0].role == "system"
        if moves or not is_same(cell(spell_history(turns, layout), layout), value):
            residue = residues.setdefault(row, Residue())
            residue.spelled[key] = value
            if moves:
                _keep_system(residue, raw.text[str(layout.system_key)][row].as_py(), row, raw, str(layout.system_key))
    return _turn_lists(histories, layout), faults


def is_same(spelled: object, value: object) -> bool:
    """Whether two JSON values are written alike, which `==` does not tell of 1 and True or of the order of keys."""
    return spelled == value and (isinstance(value, str) or json.dumps(spelled) == json.dumps(value))


def _turn_lists(histories: Sequence[Sequence[Turn]], layout: Layout) -> pa.Array:
    offsets = np.cumsum([0, *map(len, histories)], dtype=np.int32)
    turns = [turn for history in histories for turn in history]
    columns = [pa.array([turn.role for turn in turns], pa.string())]
    columns.append(pa.array([turn.content for turn in turns], pa.string()))
    if layout.has_turn_keys:
        columns.append(pa.array([turn.extra for turn in turns], pa.string()))
    elif any(turn.extra for turn in turns):
        raise InputError("the input changed while it was read: its turns have further keys now")
    kind = TURN_WITH_KEYS if layout.has_turn_keys else TURN
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, fields=list(kind)))


def _decode_conversations(raw: RawColumns, layout: Layout) -> Decoded:
    key = str(layout.turns_key)
    systems = raw.text[layout.system_key].to_pylist() if layout.system_key else [None] * raw.num_rows
    roles = layout.roles_by_spelling
    contents: list[Content] = []
    residues: dict[int, Residue] = {}
    faults: dict[int, str] = {}
    for row, (value, system) in enumerate(zip(raw.nested or (), systems, strict=True)):
        plain = None if layout.system_key else plain_turns(value, turn_keys=layout.turn_keys, roles=roles)
        try:
            content = conversation(value, system, layout) if plain is None else content_of(plain, layout)
        except RowError as error:
            faults[row] = str(error)
            contents.append(Content(history=(), question=None, answer=None))
            continue
        contents.append(content)
        if plain is not None and content.question is not None and content.answer is not None:
            continue  # its default spelling is what stands there
        default, _ = spell_content(content, None, layout)
        if not is_same(default[key], value) or not _same_system(default, system, row, raw, layout):
            residues[row] = Residue(spelled={key: value})
            if layout.system_key is not None:
                _keep_system(residues[row], system, row, raw, layout.system_key)
    return Decoded(
        history=_turn_lists([content.history for content in contents], layout),
        question=pa.array([content.question for content in contents], pa.string()),
        answer=pa.array([content.answer for content in contents], pa.string()),
        residues=residues,
        faults=faults,
    )


def _same_system(default: Row, system: object, row: int, raw: RawColumns, layout: Layout) -> bool:
    key = layout.system_key
    if key is None:
        return True
    return key not in default if raw.leaves_out(key, row) else (key in default and default[key] == system)


def _keep_system(residue: Residue, system: object, row: int, raw: RawColumns, key: str) -> None:
    if raw.leaves_out(key, row):
        residue.left_out.append(key)
    else:
        residue.spelled[key] = system
