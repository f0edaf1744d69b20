"""A record as the conversation that it was: one turn after the other, tool calls and their results among them.

`history` holds what stands before the question. Where more must be said, two turns without content (null) stand in
for the last pair: a `user` turn marks the place of the question, so that tool calls and results can follow it, and a
closing `assistant` turn belongs to the answer. Both carry the further keys of their turn in `extra`, a JSON object in
OpenAI's spelling (`tool_calls`, `tool_call_id`, `name`, `reasoning_content`, `images`, ...). All other turns have
content, maybe empty. A plain row has neither place: its question and answer follow its history. A dataset without such
keys has turns without `extra`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Message = dict[str, Any]
"""A chat message: `role`, `content` (null where the turn has none), and its further keys."""


def messages_of(
    history: Sequence[Mapping[str, str | None]] | None, question: str | None, answer: str | None
) -> list[Message]:
    """The whole conversation; a missing question or answer is a message without content."""
    turns = list(history or ())
    own: Mapping[str, str | None] = {}
    if turns and is_answer_place(turns[-1]):
        own = turns.pop()
    messages = [_message(turn, question if is_question_place(turn) else turn["content"]) for turn in turns]
    if not any(is_question_place(turn) for turn in turns):
        messages.append({"role": "user", "content": question})
    return [*messages, _message({"role": "assistant", "extra": own.get("extra")}, answer)]


def turns_to_show(history: Sequence[Mapping[str, str | None]] | None, question: str | None) -> list[dict[str, str]]:
    """What a prompt shows of a conversation before its last answer: turns that say something, as texts.

    Calls are written out. The question is among them only where tool calls and results follow it, so that they are not
    shown before what they answer to; elsewhere it stands in the prompt by itself.
    """
    turns = [turn for turn in history or () if turn]
    if turns and is_answer_place(turns[-1]):
        turns.pop()
    at = next((at for at, turn in enumerate(turns) if is_question_place(turn)), None)
    shown = []
    for position, turn in enumerate(turns):
        text = question if position == at and at + 1 < len(turns) else turn["content"]
        text = "\n".join(part for part in (text, called_text(turn.get("extra"))) if part)
        if text:
            shown.append({"role": turn["role"] or "", "content": text})
    return shown


def called_text(extra: str | None) -> str:
    """The tool calls of a turn as a text, one a line: `name(arguments)`; empty where it calls nothing."""
    calls = json.loads(extra).get("tool_calls") if extra and '"tool_calls"' in extra else None
    if not isinstance(calls, list):
        return str(calls or "")
    return "\n".join(map(_call_text, calls))


def _call_text(call: object) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return json.dumps(call, ensure_ascii=False)
    return f"{function.get('name')}({function.get('arguments')})"


def calls_a_tool(history: Sequence[Mapping[str, str | None]] | None) -> bool:
    """Whether the answer's own turn calls a tool (`answers_by_call` of one row)."""
    last = history[-1] if history else None
    return last is not None and is_answer_place(last) and '"tool_calls"' in (last.get("extra") or "")


def is_question_place(turn: Mapping[str, str | None]) -> bool:
    """Whether a turn of a history marks where the question stands."""
    return turn["role"] == "user" and turn["content"] is None


def is_answer_place(turn: Mapping[str, str | None]) -> bool:
    """Whether the last turn of a history holds the further keys of the answer's own turn."""
    return turn["role"] == "assistant" and turn["content"] is None


def answers_by_call(history: pa.Array) -> pa.Array:
    """Boolean mask [N]: the answer's own turn calls a tool, so that the answer lacks nothing if it has no text."""
    return _own_turns_with(history, '"tool_calls"')


def answers_without_loss(history: pa.Array) -> pa.Array:
    """Boolean mask [N]: the answer's own turn has the weight 0 (`carries_loss`)."""
    return _own_turns_with(history, r'"weight": 0(\.0)?[,}]')


def carries_loss(message: Message) -> bool:
    """Whether a model may learn to say an answer: OpenAI's `weight` of 0 says that it must not."""
    return bool(message.get("weight") != 0)


def _own_turns_with(history: pa.Array, pattern: str) -> pa.Array:
    """Boolean mask [N]: the further keys of the answer's own turn match a pattern."""
    mask = np.zeros(len(history), dtype=bool)
    turns = history.flatten()
    if turns.type.get_field_index("extra") >= 0 and len(turns):
        ends = np.cumsum(pc.fill_null(pc.list_value_length(history), 0).to_numpy(zero_copy_only=False))
        filled = np.flatnonzero(np.diff(ends, prepend=0))
        last = turns.take(pa.array(ends[filled] - 1))
        is_place = pc.and_(pc.equal(last.field("role"), "assistant"), pc.is_null(last.field("content")))
        matches = pc.fill_null(pc.match_substring_regex(last.field("extra"), pattern), False)
        mask[filled] = pc.and_(is_place, matches).to_numpy(zero_copy_only=False)
    return pa.array(mask)


def extra_text(extra: Mapping[str, object]) -> str | None:
    """The further keys of a turn as they stand in `extra`; None where there are none."""
    return json.dumps(dict(extra), ensure_ascii=False, sort_keys=True) if extra else None


def _message(turn: Mapping[str, str | None], content: str | None) -> Message:
    extra = turn.get("extra")
    return {"role": turn["role"], "content": content, **(json.loads(extra) if extra else {})}
