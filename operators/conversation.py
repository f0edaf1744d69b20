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


def is_question_place(turn: Mapping[str, str | None]) -> bool:
    """Whether a turn of a history marks where the question stands."""
    return turn["role"] == "user" and turn["content"] is None


def is_answer_place(turn: Mapping[str, str | None]) -> bool:
    """Whether the last turn of a history holds the further keys of the answer's own turn."""
    return turn["role"] == "assistant" and turn["content"] is None


def answers_by_call(history: pa.Array) -> pa.Array:
    """Boolean mask [N]: the answer's own turn calls a tool, so that the answer lacks nothing if it has no text."""
    mask = np.zeros(len(history), dtype=bool)
    turns = history.flatten()
    if turns.type.get_field_index("extra") >= 0 and len(turns):
        ends = np.cumsum(pc.fill_null(pc.list_value_length(history), 0).to_numpy(zero_copy_only=False))
        filled = np.flatnonzero(np.diff(ends, prepend=0))
        last = turns.take(pa.array(ends[filled] - 1))
        is_place = pc.and_(pc.equal(last.field("role"), "assistant"), pc.is_null(last.field("content")))
        calls = pc.fill_null(pc.match_substring(last.field("extra"), '"tool_calls"'), False)
        mask[filled] = pc.and_(is_place, calls).to_numpy(zero_copy_only=False)
    return pa.array(mask)


def extra_text(extra: Mapping[str, object]) -> str | None:
    """The further keys of a turn as they stand in `extra`; None where there are none."""
    return json.dumps(dict(extra), ensure_ascii=False, sort_keys=True) if extra else None


def _message(turn: Mapping[str, str | None], content: str | None) -> Message:
    extra = turn.get("extra")
    return {"role": turn["role"], "content": content, **(json.loads(extra) if extra else {})}
