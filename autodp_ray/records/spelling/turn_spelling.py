"""Turns as the dataset spells them: a conversation's own turns with new texts, or turns of the default spelling.

A source turn whose text did not change comes back as it is; one with a new text keeps its further keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.spelling.text_boundary import split_like
from autodp_ray.records.turns.turns import (
    CALL,
    PAIR_ROLES,
    PART_SEPARATOR,
    SYSTEM,
    Turn,
    find_pair,
    keys_of,
    num_leading_prompts,
    pair_places,
    parse_turns,
    part_text,
    role_of,
    split_turns,
)
from operators.rows.conversation import is_answer_place, is_question_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one record says, without its id and its extra columns."""

    history: Sequence[Turn]
    question: str | None
    answer: str | None

    def without_first_turn(self) -> Content:
        return Content(history=self.history[1:], question=self.question, answer=self.answer)


def is_missing(text: str | None, layout: Layout) -> bool:
    """Whether a text stands for no value."""
    return text is None or text.strip() in layout.nulls


def content_of(turns: Sequence[Turn], layout: Layout) -> Content:
    """History and last pair, sentinels as None. Raises: RowError."""
    history, question, answer = split_turns(turns)
    return Content(
        history=history,
        question=None if is_missing(question, layout) else question,
        answer=None if is_missing(answer, layout) else answer,
    )


def spell_conversation(content: Content, layout: Layout) -> list[object]:
    """A record in the default spelling: a missing question is a blank turn, a missing answer no turn unless turns
    stand in pairs."""
    turns = [
        turn._replace(content=layout.blank if content.question is None else content.question)
        if _is_question_place(turn)
        else turn
        for turn in content.history
    ]
    own = turns.pop() if turns and is_answer_place(turns[-1]._asdict()) else Turn("assistant", None)
    if not any(map(_is_question_place, content.history)):
        turns.append(Turn("user", layout.blank if content.question is None else content.question))
    if content.answer is not None or own.extra is not None or _has_pairs(layout):
        turns.append(own._replace(content=layout.blank if content.answer is None else content.answer))
    return spell_items(turns, layout)


def _is_question_place(turn: Turn) -> bool:
    return is_question_place(turn._asdict())


def spell_turns(turns: Sequence[Turn], layout: Layout) -> list[object]:
    """The turns with the dataset's own keys and role names."""
    role_key, content_key = layout.turn_keys
    return [
        {
            role_key: layout.roles.get(turn.role, turn.role),
            content_key: turn.content,
            **(json.loads(turn.extra) if turn.extra else {}),
        }
        for turn in turns
    ]


def spell_items(turns: Sequence[Turn], layout: Layout) -> list[object]:
    """The turns as the dataset has them: pairs where it has pairs and each question has its answer, else turns."""
    pairs = _pairs(turns, layout) if _has_pairs(layout) else None
    return spell_turns(turns, layout) if pairs is None else pairs


def _has_pairs(layout: Layout) -> bool:
    return layout.history_as_pairs or layout.pair_keys is not None


def _pairs(turns: Sequence[Turn], layout: Layout) -> list[object] | None:
    """The turns as pairs; None where some belong to no pair, or have more to say than a pair can."""
    pairs: list[object] = []
    rest = list(turns)
    while rest:
        num = 3 if layout.pair_keys is not None and rest[0].role == SYSTEM else 2
        pair, rest = rest[:num], rest[num:]
        is_pair = tuple(turn.role for turn in pair) == PAIR_ROLES[-num:]
        if not is_pair or any(turn.extra for turn in (pair if layout.pair_keys is None else pair[:-1])):
            return None
        pairs.append(_pair(pair, layout))
    return pairs


def _pair(turns: Sequence[Turn], layout: Layout) -> object:
    texts = [turn.content for turn in turns]
    if layout.pair_keys is None:
        return texts
    names = (SYSTEM, *layout.pair_keys)[-len(texts) :]
    return {**dict(zip(names, texts, strict=True)), **json.loads(turns[-1].extra or "{}")}


def patch_conversation(items: list[object], content: Content, layout: Layout) -> list[object] | None:
    """The source's own turns with the record's texts; None where the record has other turns."""
    old = parse_turns(items, layout.role_map)
    question, answer = find_pair(old)
    places = [at for at in range(len(old)) if at not in (question, answer)]
    kept = [turn for turn in content.history if not (_is_place(turn))]
    if [turn.role for turn in kept] != [old[at].role for at in places]:
        return None
    texts = {at: turn.content for at, turn in zip(places, kept, strict=True)}
    if question is not None:
        texts[question] = content.question
    if answer is not None:
        texts[answer] = content.answer
    pair = {question, answer}
    changed = {at: text for at, text in texts.items() if not _says(old[at], text, layout, missing_is_null=at in pair)}
    patched = _patched(items, old, changed, layout)
    if question is None and content.question is not None:
        patched[num_leading_prompts(old) : num_leading_prompts(old)] = spell_turns(
            [Turn("user", content.question)], layout
        )
    if answer is None and content.answer is not None:
        patched += spell_turns([Turn("assistant", content.answer)], layout)
    return patched


def patch_history(items: list[object], history: Sequence[Turn], layout: Layout) -> list[object] | None:
    """The turns of a history column with the record's texts; None where the record has other turns."""
    old = parse_turns(items, layout.role_map)
    if [turn.role for turn in history] != [turn.role for turn in old]:
        return None
    pairs = enumerate(zip(old, history, strict=True))
    changed = {at: new.content for at, (turn, new) in pairs if not _says(turn, new.content, layout)}
    return _patched(items, old, changed, layout)


def _is_place(turn: Turn) -> bool:
    return turn.content is None and turn.role in ("user", "assistant")


def _says(turn: Turn, text: str | None, layout: Layout, *, missing_is_null: bool = False) -> bool:
    if missing_is_null:
        return text == (None if is_missing(turn.content, layout) else turn.content)
    return (text or "") == (turn.content or "")


def _patched(
    items: list[object], old: Sequence[Turn], changed: Mapping[int, str | None], layout: Layout
) -> list[object]:
    """The items with new texts for the changed turns, by the turn's place."""
    patched: list[object] = []
    turns = iter(enumerate(old))
    for item in items:
        places = pair_places(item)
        if places is None:
            at, turn = next(turns)
            patched.append(_respelled(item, turn, changed[at], layout) if at in changed else item)
        else:
            pair: Any = copy(item)
            for place, (at, _) in zip(places, turns, strict=False):
                if at in changed:
                    pair[place] = _respelled_text(pair[place], changed[at], layout)
            patched.append(pair)
    return patched


def _respelled(item: object, turn: Turn, text: str | None, layout: Layout) -> object:
    assert isinstance(item, Mapping)
    role_key, content_key = keys_of(item)
    if role_of(item[role_key], layout.role_map) == CALL and turn.content is None:
        return spell_turns([turn._replace(content=_blank_or(text, layout))], layout)[0]
    return {**item, content_key: _respelled_text(item.get(content_key), text, layout)}


def _respelled_text(value: object, text: str | None, layout: Layout) -> object:
    return _respelled_parts(value, text, layout) if isinstance(value, list) and value else _blank_or(text, layout)


def _blank_or(text: str | None, layout: Layout) -> str | None:
    return layout.blank if text is None else text


def _respelled_parts(parts: list[object], text: str | None, layout: Layout) -> list[object]:
    """A text in the parts that it came from; in the first one where they cannot be told apart any more."""
    old = [part_text(part) for part in parts]
    texts = iter(split_like(text or "", [part for part in old if part is not None], separator=PART_SEPARATOR))
    spelled = [part if known is None else _with_text(part, next(texts)) for part, known in zip(parts, old, strict=True)]
    return [part for part in spelled if part is not _GONE]


_GONE = object()


def _with_text(part: object, text: str | None) -> object:
    if text is None:
        return _GONE
    return {**part, "text": text} if isinstance(part, Mapping) else text
