"""Conversations as lists of turns: parsed from the spellings in use, split into history and last pair.

Roles are `system`, `user`, `assistant` and `tool`; any other (that no map names) stays as it is. How turns are written
again is in turn_spelling.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autodp_ray.records.turns.turn_keys import TOOL_CALLS, calls_in, further_keys

CALL = "tool_call"
"""The role of a turn whose text is a call; it becomes an assistant's turn."""
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai", "bing", "bard"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function", "tool_response", "tool_result", "function_response"), "tool"),
    **dict.fromkeys((CALL, "function_call"), CALL),
}
SYSTEM = "system"
PAIR_ROLES = (SYSTEM, "user", "assistant")
PAIR_KEYS = (
    ("human", "assistant"),
    ("input", "output"),
    ("user", "assistant"),
    ("question", "answer"),
    ("query", "response"),
)
"""What an object that holds a question with its answer may call them, maybe under a `system` prompt: Firefly's and
ms-swift's names, xtuner's, and the obvious ones."""
TURN_KEYS = (("from", "value"), ("role", "content"), ("role", "value"), ("from", "content"), ("role", "text"))
TEXT_PARTS = ("text", "input_text", "output_text")
PART_SEPARATOR = "\n"
"""Joins the text parts of one turn."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,23}")


class RowError(ValueError):
    """A row that cannot become a record. The message is a reason to count: it names no content."""


class Turn(NamedTuple):
    """One turn; `extra` is the JSON text of its further keys (operators/rows/conversation.py)."""

    role: str
    content: str | None
    extra: str | None = None


def role_of(spelling: str, roles: Mapping[str, str]) -> str:
    """The record's role for a dataset's spelling of it; `roles` are those that the dataset maps itself."""
    key = spelling.strip().lower()
    return roles.get(key) or ROLES.get(key, spelling)


def parse_turns(value: object, roles: Mapping[str, str]) -> list[Turn]:
    """The turns of a list of {from, value} or {role, content} objects, of [question, answer] pairs or of objects with
    both, or of the JSON text of one."""
    return [turn for item in items_of(value) for turn in turns_in(item, roles)]


def turns_in(item: object, roles: Mapping[str, str]) -> list[Turn]:
    """One turn, or those of a question and its answer. Raises: RowError."""
    places = pair_places(item)
    return [turn_of(item, roles)] if places is None else _pair(item, places)


def items_of(value: object) -> list[object]:
    """The turns as they stand in the source. Raises: RowError."""
    items = parsed_json(value)
    if not isinstance(items, list):
        raise RowError("a conversation that is no list of turns")
    return items


def parsed_json(value: object) -> object:
    """A value, of a text what it says as JSON. Raises: RowError."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise RowError("a conversation that is no JSON") from error


def plain_turns(value: object, *, turn_keys: tuple[str, str], roles: Mapping[str, str]) -> list[Turn] | None:
    """The turns where each is spelled exactly as the dataset spells turns (`roles` by their spelling), else None."""
    role_key, content_key = turn_keys
    turns: list[Turn] = []
    for item in value if isinstance(value, list) else (None,):
        if type(item) is not dict or len(item) != 2:
            return None
        spelling, content = item.get(role_key), item.get(content_key)
        if type(spelling) is not str or spelling not in roles or type(content) is not str:
            return None
        turns.append(Turn(roles[spelling], content))
    return turns


def pair_places(item: object) -> tuple[int | str, ...] | None:
    """Where an item holds a question and its answer, maybe after a system prompt; None where it is one turn.

    Raises: RowError for a list of another length.
    """
    if isinstance(item, list):
        if len(item) != 2:
            raise RowError("a history entry that is no pair")
        return 0, 1
    if not isinstance(item, Mapping) or isinstance(item.get("role"), str) or isinstance(item.get("from"), str):
        return None
    keys = next((keys for keys in PAIR_KEYS if item.keys() >= set(keys)), None)
    return keys if keys is None or not item.get(SYSTEM) else (SYSTEM, *keys)


def _pair(item: object, places: Sequence[int | str]) -> list[Turn]:
    """The turns of a pair; the further keys of an object are those of its answer."""
    values = dict(enumerate(item)) if isinstance(item, list) else item
    assert isinstance(values, Mapping)
    turns = [Turn(role, text_of(values[at])) for role, at in zip(PAIR_ROLES[-len(places) :], places, strict=True)]
    further = {key: value for key, value in values.items() if key not in (SYSTEM, *places)}
    return [*turns[:-1], turns[-1]._replace(extra=further_keys(further))]


def keys_of(item: Mapping[str, object]) -> tuple[str, str]:
    """The keys of a turn that hold its role and its content, which may be left out. Raises: RowError."""
    named = [keys for keys in TURN_KEYS if isinstance(item.get(keys[0]), str)]
    for keys in named:
        if keys[1] in item:
            return keys
    if not named:
        raise RowError("a turn with neither a role nor a question and its answer")
    return named[0]


def turn_of(item: object, roles: Mapping[str, str]) -> Turn:
    """One turn of a conversation. Raises: RowError."""
    if not isinstance(item, Mapping):
        raise RowError("a turn that is no object")
    role_key, content_key = keys_of(item)
    role = role_of(item[role_key], roles)
    if content_key not in item and role not in ("assistant", CALL):
        raise RowError(f"a turn without the key {content_key!r}")
    content = text_of(item.get(content_key))
    further = {key: value for key, value in item.items() if key not in (role_key, content_key)}
    if role == CALL:
        role, calls = "assistant", calls_in(content)
        if calls is not None:
            content, further = None, {TOOL_CALLS: calls, **further}
    return Turn(role, content, further_keys(further) if further else None)


def text_of(value: object) -> str | None:
    """The text of a content: text, or a list of text parts. Raises: RowError."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return PART_SEPARATOR.join(text for text in map(part_text, value) if text is not None)
    raise RowError("a turn whose content is not text")


def part_text(part: object) -> str | None:
    """The text of one part of a content. Raises: RowError that names the type of a part which is no text."""
    if part is None or isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise RowError("a turn whose content is not text")
    kind, text = part.get("type", "text"), part.get("text")
    if kind in TEXT_PARTS and (text is None or isinstance(text, str)):
        return text
    raise RowError(f"a content part of {_named('type', kind)}, where only text is read")


def _named(what: str, name: object) -> str:
    """A name that looks like one, else only what it is: a reason shows no content."""
    return f"the {what} {name!r}" if isinstance(name, str) and _IDENTIFIER.fullmatch(name) else f"an unknown {what}"


def find_pair(turns: Sequence[Turn]) -> tuple[int | None, int | None]:
    """(place of the last question, place of the last answer) among the turns; None for what is missing.

    The last turn is the answer where it is the assistant's. After a last question or tool result there is none yet.
    Raises: RowError.
    """
    last = len(turns) - 1
    role = turns[-1].role if turns else None
    if role == "user":
        return last, None
    if role not in ("assistant", "tool"):
        named = _named("role", role) if role not in (None, "system") else "neither a question nor an answer"
        raise RowError(f"a conversation that ends with {named}{_ADVICE if role not in (None, 'system') else ''}")
    question = next((at for at in range(last, -1, -1) if turns[at].role == "user"), None)
    for turn in turns[question or 0 : last]:
        if turn.role not in ("system", "user", "assistant", "tool"):
            raise RowError(f"a last answer that follows {_named('role', turn.role)}{_ADVICE}")
    return question, last if role == "assistant" else None


_ADVICE = ", which dataset.roles may map to user, assistant, system or tool"


def split_turns(turns: Sequence[Turn]) -> tuple[list[Turn], str | None, str | None]:
    """(history, question, answer) of a conversation; the history marks places where a record has to
    (operators/rows/conversation.py). Raises: RowError."""
    question, answer = find_pair(turns)
    history: list[Turn] = []
    for at, turn in enumerate(turns):
        if at == question:
            follows = answer is None or answer > at + 1
            if turn.extra is not None or (follows and at + 1 < len(turns)):
                history.append(Turn("user", None, turn.extra))
        elif at != answer:
            history.append(Turn(turn.role, turn.content or "", turn.extra))
    if question is None and (start := num_leading_prompts(history)) < len(history):
        history.insert(start, Turn("user", None))
    if answer is not None and turns[answer].extra is not None:
        history.append(Turn("assistant", None, turns[answer].extra))
    return (
        history,
        None if question is None else turns[question].content,
        None if answer is None else turns[answer].content,
    )


def turns_of(history: Sequence[Mapping[str, str | None]] | None) -> list[Turn]:
    """The turns of a record's history cell."""
    return [Turn(str(turn["role"]), turn["content"], turn.get("extra")) for turn in history or ()]


def num_leading_prompts(turns: Sequence[Turn]) -> int:
    """How many system turns a conversation begins with."""
    return next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))
