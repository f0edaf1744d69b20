"""Prompt and completion: the turns of a conversation in one column, and the answer that follows them in another.

The answer is a list of turns, one turn or a text.
Source: conversational prompt-completion and preference data of TRL; `conversations` with `chosen` of LLaMA-Factory.
"""

from __future__ import annotations

import json
from collections.abc import Set

from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.forms.conversation import ConversationForm
from autodp_ray.records.forms.flat import pair_support
from autodp_ray.records.forms.found import Found, most_common
from autodp_ray.records.forms.names import CHOSEN
from autodp_ray.records.forms.row_spelling import as_spelled, cell
from autodp_ray.records.spelling.layout import FormKeys, Layout, ReplyKind
from autodp_ray.records.spelling.turn_spelling import is_missing
from autodp_ray.records.turns.turns import items_of, parse_turns, parsed_json, turn_of, turns_in
from operators.contract.errors import InputError

_MAY_PRECEDE_CHOSEN = ("prompt", "conversations", "conversation", "messages")
"""The columns of turns that a chosen answer may follow."""


class PromptCompletion(ConversationForm):
    """`prompt` and `completion`, or the columns that the config names as question and answer."""

    name = "prompt_completion"
    accepted = "prompt and completion as turns (prompt_completion)"
    takes_columns = True
    takes_turns = False
    turns_names = ("prompt", "completion")
    turn_keys = ("role", "content")

    def num_readings(self, keys: Set[str]) -> int:
        return int(keys >= set(self.turns_names))

    def support(self, found: Found) -> int | None:
        prompt, completion = self._pair(found)
        is_of_turns = found.has(prompt, completion) and _has_turns(prompt, found) and found.config.columns.turns is None
        return pair_support((prompt, completion), found) if is_of_turns else None

    def keys(self, found: Found) -> FormKeys:
        for name in self._pair(found):
            if not found.has(name):
                raise InputError(f"form {self.name}: {found.no_column(name)}")
        return self._keys_of(*self._pair(found), found)

    def _pair(self, found: Found) -> tuple[str, str]:
        columns, (prompt, completion) = found.config.columns, self.turns_names
        return columns.question or prompt, columns.answer or completion

    def _keys_of(self, prompt: str, reply: str, found: Found) -> FormKeys:
        keys = self._keys(prompt, found)
        before, after = found.evidence.turn_counts(prompt), found.evidence.turn_counts(reply)
        return keys.model_copy(
            update={
                "history_as_pairs": False,
                "pair_keys": None,
                "reply_key": reply,
                "reply_as": _usual_kind(reply, found),
                "turn_keys": most_common(before.keys + after.keys, self.turn_keys),
                "roles": {**keys.roles, **found.roles(after, {})},
                "has_turn_keys": before.has_keys or after.has_keys,
            }
        )

    def is_answered(self, found: Found) -> bool:
        prompt, completion = self._pair(found)
        is_filled = 2 * found.evidence.num_filling(prompt, completion) >= found.evidence.num_rows
        return is_filled and self.support(found) is not None

    def chosen_keys(self, found: Found) -> FormKeys | None:
        columns = found.config.columns
        names = [columns.question, columns.turns, *_MAY_PRECEDE_CHOSEN]
        prompt = next((name for name in names if name is not None and _has_turns(name, found)), None)
        return None if prompt is None else self._keys_of(prompt, CHOSEN, found)

    def joined(self, cells: RawRow, layout: Layout) -> object:
        return [*items_of(cells[str(layout.turns_key)]), *_reply_items(cells[str(layout.reply_key)], layout)]

    def parted(self, items: list[object], cells: RawRow | None, layout: Layout) -> RawRow:
        turns_key, reply_key = str(layout.turns_key), str(layout.reply_key)
        if cells is None:
            is_answered = bool(items) and turn_of(items[-1], layout.role_map).role == "assistant"
            end = len(items) - is_answered
            return {turns_key: cell(items[:end], layout), reply_key: _spelled_reply(items[end:], layout)}
        prompt, source = cells[turns_key], cells[reply_key]
        is_asked = any(turn.role == "user" for turn in parse_turns(prompt, layout.role_map))
        # what is new of an answer stands at the end; a new question stands before it
        at = len(items_of(prompt)) if is_asked else len(items) - len(_reply_items(source, layout))
        is_same = items[at:] == _reply_items(source, layout)
        return {
            turns_key: as_spelled(prompt, items[:at], layout),
            reply_key: source if is_same else _spelled_reply(items[at:], layout),
        }


def _has_turns(name: str, found: Found) -> bool:
    """Whether more than half of what stands in a column are lists with turns; an empty list is nothing."""
    counts = found.evidence.turn_counts(name)
    return bool(counts.keys) and 2 * counts.num_turn_lists > counts.num_filled


def _usual_kind(reply: str, found: Found) -> ReplyKind:
    """How most rows spell their answer."""
    counts = found.evidence.turn_counts(reply)
    if 2 * (counts.num_lists + counts.num_single) < counts.num_filled or counts.num_filled == 0:
        return "text"
    return "turns" if counts.num_lists >= counts.num_single else "turn"


def _reply_items(value: object, layout: Layout) -> list[object]:
    """The turns of an answer that stands by itself. Raises: RowError."""
    if isinstance(value, str) and layout.reply_as == "text":
        role_key, content_key = layout.turn_keys
        return [{role_key: layout.roles.get("assistant", "assistant"), content_key: value}]
    found = None if isinstance(value, str) and is_missing(value, layout) else parsed_json(value)
    if found is None or isinstance(found, list):
        return found or []
    return [found]


def _spelled_reply(items: list[object], layout: Layout) -> object:
    """An answer's turns as the dataset has them; several turns are always a list, and a text is the assistant's."""
    if not items:
        return layout.missing_value(str(layout.reply_key))
    if layout.reply_as == "turns" or len(items) > 1:
        return cell(items, layout)
    turn = turns_in(items[0], layout.role_map)[-1]
    if layout.reply_as == "text" and turn.role == "assistant":
        return turn.content
    return json.dumps(items[0], ensure_ascii=False) if layout.nested_as_text else items[0]
