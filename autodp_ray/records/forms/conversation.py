"""Forms whose rows hold a list of turns; decoded row by row.

A member says what its list and the keys of its turns are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import ClassVar

import pyarrow as pa

from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.forms.decoding import Decoded, Notes, is_same, turn_lists
from autodp_ray.records.forms.found import Found, most_common
from autodp_ray.records.forms.names import CHOSEN, SYSTEM_NAMES
from autodp_ray.records.forms.row_spelling import Residue, SpelledRow, as_spelled, cell
from autodp_ray.records.spelling.layout import FormKeys, Layout
from autodp_ray.records.spelling.raw_columns import RawColumns
from autodp_ray.records.spelling.turn_spelling import (
    Content,
    content_of,
    is_missing,
    patch_conversation,
    spell_conversation,
)
from autodp_ray.records.turns.turn_counts import TurnCounts
from autodp_ray.records.turns.turns import RowError, Turn, items_of, parse_turns, plain_turns, role_of
from operators.contract.errors import InputError


class ConversationForm:
    """A list of turns, with a system prompt beside it or in it."""

    name: ClassVar[str]
    accepted: ClassVar[str]
    takes_columns: ClassVar[bool] = False
    takes_turns: ClassVar[bool] = True
    turns_names: ClassVar[tuple[str, ...]]
    """What the column of turns may be called."""
    turn_keys: ClassVar[tuple[str, str]]
    """Where no turn says otherwise, the keys of its role and its content."""
    role_names: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Where no turn says otherwise, how roles are spelled that have another name in a record."""

    @property
    def own_names(self) -> tuple[str, ...]:
        return self.turns_names

    @property
    def nested_names(self) -> tuple[str, ...]:
        return self.turns_names

    def num_readings(self, keys: Set[str]) -> int:
        return sum(name in keys for name in self.turns_names)

    def support(self, found: Found) -> int | None:
        counts = [found.evidence.turn_counts(name) for name in self._names(found) if found.has(name)]
        if found.config.columns.turns is not None and not any(map(self._spells, counts)):
            return None
        return 3 * max(each.num_lists for each in counts) if counts else None

    def _names(self, found: Found) -> tuple[str, ...]:
        """What the column of turns may be called in this dataset."""
        named = found.config.columns.turns
        return self.turns_names if named is None else (named,)

    def _spells(self, counts: TurnCounts) -> bool:
        """Whether most turns are spelled as this form has them."""
        return most_common(counts.keys, self.turn_keys)[0] == self.turn_keys[0]

    def keys(self, found: Found) -> FormKeys:
        names = [name for name in self._names(found) if found.has(name)]
        if not names:
            raise InputError(f"form {self.name}: {found.no_column(self._names(found)[0])}")
        return self._keys(max(names, key=lambda name: found.evidence.turn_counts(name).num_lists), found)

    def _keys(self, turns_key: str, found: Found) -> FormKeys:
        columns, counts = found.config.columns, found.evidence.turn_counts(turns_key)
        return FormKeys(
            form=self.name,
            turns_key=turns_key,
            system_key=columns.system or found.text_key(SYSTEM_NAMES, {columns.id}),
            turn_keys=most_common(counts.keys, self.turn_keys),
            roles=found.roles(counts, self.role_names),
            history_as_pairs=counts.has_list_pairs,
            pair_keys=counts.usual_pair_keys,
            has_turn_keys=counts.has_keys,
        )

    def is_answered(self, found: Found) -> bool:
        ends = [found.evidence.turn_counts(name).ends["assistant"] for name in self._names(found)]
        return any(2 * num >= found.evidence.num_rows for num in ends)

    def chosen_keys(self, found: Found) -> FormKeys | None:
        counts = found.evidence.turn_counts(CHOSEN)
        num_asked = sum(num for role, num in counts.roles.items() if role_of(role, found.config.roles) == "user")
        is_whole = counts.ends["assistant"] and 2 * num_asked >= counts.num_lists
        is_own = found.evidence.is_surely_turns(CHOSEN) and self._spells(counts)
        return self._keys(CHOSEN, found) if is_whole and is_own else None

    def decode(self, raw: RawColumns, layout: Layout) -> Decoded:
        contents: list[Content] = []
        faults: dict[int, str] = {}
        notes = Notes(raw=raw, layout=layout, residues={})
        systems = raw.text[layout.system_key].to_pylist() if layout.system_key else [None] * raw.num_rows
        roles = layout.roles_by_spelling
        for row, system in enumerate(systems):
            cells = {key: raw.nested[key][row] for key in layout.nested_keys}
            try:
                value = self.joined(cells, layout)
                plain = None if layout.system_key else plain_turns(value, turn_keys=layout.turn_keys, roles=roles)
                content = _content(value, system, layout) if plain is None else content_of(plain, layout)
            except RowError as error:
                faults[row] = str(error)
                contents.append(Content(history=(), question=None, answer=None))
                continue
            contents.append(content)
            is_default = plain is not None and content.question is not None and content.answer is not None
            if not is_default or layout.reply_key is not None:
                self._note_spelling(notes, row, cells, system, content)
        return Decoded(
            history=turn_lists([content.history for content in contents], layout),
            question=pa.array([content.question for content in contents], pa.string()),
            answer=pa.array([content.answer for content in contents], pa.string()),
            residues=notes.residues,
            faults=faults,
        )

    def joined(self, cells: RawRow, layout: Layout) -> object:
        """The conversation that a row's cells hold. Raises: RowError."""
        return cells[str(layout.turns_key)]

    def parted(self, items: list[object], cells: RawRow | None, layout: Layout) -> RawRow:
        """The cells of a conversation; `cells` are those of the source, where it was spelled after them."""
        key = str(layout.turns_key)
        return {key: cell(items, layout) if cells is None else as_spelled(cells[key], items, layout)}

    def _note_spelling(self, notes: Notes, row: int, cells: RawRow, system: object, content: Content) -> None:
        system_key = notes.layout.system_key
        default = self.spell(content, None, notes.layout).row
        is_default = all(is_same(default[key], value) for key, value in cells.items())
        if is_default and _same_system(default, system, row, notes):
            return
        notes.at(row).spelled.update(cells)
        if system_key is not None:
            notes.keep(system_key, system, row)

    def spell(self, content: Content, input_text: str | None, layout: Layout) -> SpelledRow:
        spelled = SpelledRow()
        content = spelled.put_system(content, layout)
        spelled.row.update(self.parted(spell_conversation(content, layout), None, layout))
        return spelled

    def apply_residue(self, spelled: SpelledRow, residue: Residue, content: Content, layout: Layout) -> None:
        is_spelled = layout.turns_key in residue.spelled
        nested = {*layout.nested_keys, layout.system_key} if is_spelled else set()
        spelled.respell(residue, id_key=layout.id_key, nested=nested)
        if is_spelled:
            self._apply_turns(spelled.row, residue, content, layout)

    def _apply_turns(self, row: RawRow, residue: Residue, content: Content, layout: Layout) -> None:
        system_key = layout.system_key
        cells = {key: residue.spelled[key] for key in layout.nested_keys}
        system = residue.spelled.get(system_key) if system_key is not None else None
        if isinstance(system, str) and not is_missing(system, layout):
            if not content.history or content.history[0].role != "system":
                return
            system, content = _new_prompt(system, content.history[0].content), content.without_first_turn()
        patched = patch_conversation(items_of(self.joined(cells, layout)), content, layout)
        if patched is None:
            return
        row.update(self.parted(patched, cells, layout))
        if system_key is not None:
            row.pop(system_key, None)
            if system_key not in residue.left_out:
                row[system_key] = system


def _content(value: object, system: object, layout: Layout) -> Content:
    """The content of a conversation and of the system prompt beside it; RowError where it holds no pair."""
    turns = parse_turns(value, layout.role_map)
    if isinstance(system, str) and not is_missing(system, layout):
        turns.insert(0, Turn("system", system))
    return content_of(turns, layout)


def _same_system(default: RawRow, system: object, row: int, notes: Notes) -> bool:
    key = notes.layout.system_key
    if key is None:
        return True
    return key not in default if notes.raw.leaves_out(key, row) else (key in default and default[key] == system)


def _new_prompt(source: str, text: str | None) -> str:
    return source if text == source else text or ""
