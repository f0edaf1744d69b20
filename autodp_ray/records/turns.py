"""Conversations as lists of turns: parsed from the spellings in use, split into history and last pair, spelled again.

A turn is (role, content); roles are `system`, `user`, `assistant`, anything else (a tool's name) stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from autodp_ray.records.layout import Layout

Turn = tuple[str, str | None]

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
}
TURN_KEYS = (("from", "value"), ("role", "content"))


class RowError(ValueError):
    """A row that cannot become a record. The message is a reason to count: it names no content."""


def parse_turns(value: object) -> list[Turn]:
    """The turns of a list of {from, value} or {role, content} objects or of [question, answer] pairs, or of the JSON
    text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowError("a conversation that is no JSON") from error
    if not isinstance(value, list):
        raise RowError("a conversation that is no list of turns")
    turns: list[Turn] = []
    for item in value:
        turns.extend(_pair(item) if isinstance(item, list) else [_turn(item)])
    return turns


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
        turns.append((roles[spelling], content))
    return turns


def _pair(item: list[object]) -> list[Turn]:
    if len(item) != 2:
        raise RowError("a history entry that is no pair")
    return [("user", _content(item[0])), ("assistant", _content(item[1]))]


def _turn(item: object) -> Turn:
    if not isinstance(item, Mapping):
        raise RowError("a turn that is no object")
    for role_key, content_key in TURN_KEYS:
        role = item.get(role_key)
        if isinstance(role, str):
            if content_key not in item:
                raise RowError(f"a turn without the key {content_key!r}")
            return ROLES.get(role.strip().lower(), role), _content(item[content_key])
    raise RowError("a turn without a role")


def _content(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise RowError("a turn whose content is not text")


def split_turns(turns: list[Turn]) -> tuple[list[Turn], str | None, str | None]:
    """(history, question, answer): the last pair, and what stands before it."""
    last = turns[-1][0] if turns else None
    if last == "user":
        return turns[:-1], turns[-1][1], None
    if last != "assistant":
        raise RowError("a conversation that ends with neither a question nor an answer")
    before, answer = turns[:-1], turns[-1][1]
    if before and before[-1][0] == "user":
        return before[:-1], before[-1][1], answer
    if all(role == "system" for role, _ in before):
        return before, None, answer
    raise RowError("a last answer that follows no question")


def join_turns(history: Sequence[Turn], question: str | None, answer: str | None, *, blank: str | None) -> list[Turn]:
    """The turns again; a missing question is a `blank` turn, a missing answer no turn."""
    turns = [*history, ("user", blank if question is None else question)]
    return turns if answer is None else [*turns, ("assistant", answer)]


def spell_turns(turns: Sequence[Turn], layout: Layout) -> list[object]:
    """The turns with the dataset's own keys and role names."""
    role_key, content_key = layout.turn_keys
    return [{role_key: layout.roles.get(role, role), content_key: content} for role, content in turns]


def spell_history(turns: Sequence[Turn], layout: Layout) -> list[object]:
    """A history column's value: pairs where the dataset has pairs and the turns alternate, else turns."""
    roles = [role for role, _ in turns]
    if layout.history_as_pairs and roles == ["user", "assistant"] * (len(roles) // 2):
        contents = [content for _, content in turns]
        return [list(pair) for pair in zip(contents[::2], contents[1::2], strict=True)]
    return spell_turns(turns, layout)


def patch_turns(raw: list[object], turns: Sequence[Turn], layout: Layout) -> list[object] | None:
    """The source's own turns with new contents, so that their further keys stay; None where the turns do not match."""
    old = parse_turns(raw)
    if [role for role, _ in old] != [role for role, _ in turns[: len(old)]] or len(turns) - len(old) not in (0, 1):
        return None
    content_key = layout.turn_keys[1]
    patched: list[object] = []
    for item, (_, content) in zip(raw, turns, strict=False):
        if not isinstance(item, Mapping) or content_key not in item:
            return None
        patched.append({**item, content_key: content})
    return patched + spell_turns(turns[len(old) :], layout)
