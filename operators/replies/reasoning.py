# ruff: noqa: E501 - one pattern a line
"""Tells what a model thought aloud from what it replied, in the spellings that chat templates and models use.

Knows tags, not contents. A reply keeps none of its reasoning; a row that has such tags itself keeps its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = (
    r"(?:[a-z]{1,12}[:_-]|[a-z]{3,12}(?=[tr]))?(?:(?P<think>think(?:ing)?|thoughts?)|(?P<reason>reason(?:ing|s)?)"
    r"|(?P<other>reflect(?:ion|ing)?|analysis|deliberation|scratch[_-]?pad|planning|cot|chain[_-]of[_-]thought|"
    r"(?:inner|internal)[_-]?(?:monologue|thoughts?)|思考|推理|反思|分析))(?:[_ -]?(?:content|process|block|text|过程))?"
)
_TAG = re.compile(
    r"<[|｜]?\s{0,4}(?:(?P<slash>[/／])|(?P<begin>begin|start)[_ -](?:of[_ -])?|(?P<end>end)[_ -](?:of[_ -])?)?\s{0,4}"
    rf"{_NAME}(?:\s[^<>]{{0,80}})?\s{{0,4}}[|｜]?>",
    re.IGNORECASE,
)
_WIDE_TAG = re.compile(r"[◁＜](?P<slash>[/／])?(?:think(?:ing)?|thoughts?|思考)[▷＞]", re.IGNORECASE)
_BRACKET_TAG = re.compile(r"\[(?P<slash>/)?(?:THINK(?:ING)?|THOUGHTS?|REASONING|REFLECTION)\]", re.IGNORECASE)
_CHANNEL = re.compile(
    r"(?:<\|start\|>\s{0,4}assistant\s{0,4})?<\|channel\|>\s{0,4}(?P<channel>[a-z]{1,20})[^<>|]{0,80}"
    r"(?:<\|constrain\|>[^<>|]{0,20})?<\|message\|>",
    re.IGNORECASE,
)
_UNUSED = re.compile(r"<unused94>\s{0,4}(?P<thought>thought)?|<unused95>", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """One tag: where it stands, what it belongs to, and whether it closes."""

    start: int
    end: int
    family: str
    closes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Thoughts:
    """A reply cut in two."""

    reply: str
    """What stands outside all reasoning."""
    unclosed: str | None
    """What follows an opening tag that is never closed; None where there is no such tag."""


def split_reasoning(text: str) -> Thoughts:
    """What stands outside reasoning, and what follows a tag that is never closed; linear in the length of the text.

    A closing tag without an opening one (chat templates write the opening one themselves) ends reasoning that began
    with the text. A block ends at the next closing tag of its own kind, whatever other tags are thought of in it.
    """
    outside: list[str] = []
    start, inside = 0, ""
    for mark in _marks(text):
        if mark.closes and inside not in ("", mark.family):
            continue
        if mark.closes and not inside:
            outside.clear()
        elif not mark.closes and inside:
            continue
        elif not mark.closes:
            outside.append(text[start : mark.start])
        start, inside = mark.end, "" if mark.closes else mark.family
    rest = text[start:]
    return Thoughts(reply="".join(outside if inside else [*outside, rest]), unclosed=rest if inside else None)


def without_reasoning(text: str) -> str:
    """The text without its reasoning, also where a tag is missing."""
    return split_reasoning(text).reply.strip()


def reasoning_tags(text: str) -> list[str]:
    """The tags of reasoning in a text, in order and as they are written."""
    return [text[mark.start : mark.end] for mark in _marks(text)]


def own_reasoning(text: str) -> tuple[str, str]:
    """The blocks of reasoning that a row's text begins with, as they are written, and what follows them."""
    end, inside = 0, ""
    for mark in _marks(text):
        if not inside and (mark.closes or text[end : mark.start].strip()):
            break
        if mark.closes and mark.family == inside:
            end, inside = mark.end, ""
        elif not mark.closes and not inside:
            inside = mark.family
    end += len(text[end:]) - len(text[end:].lstrip()) if end else 0
    return text[:end], text[end:]


def _marks(text: str) -> Iterator[_Mark]:
    """All tags in the order of the text, without those that are quoted as code: a text may speak of a tag."""
    if not any(sign in text for sign in "<[◁＜"):
        return
    found = [*_named(text), *_wide(text), *_bracketed(text), *_channels(text), *_unused(text)]
    for mark in sorted(found, key=lambda mark: mark.start):
        if not (text[mark.start - 1 : mark.start] == "`" == text[mark.end : mark.end + 1]):
            yield mark


def _named(text: str) -> Iterator[_Mark]:
    for tag in _TAG.finditer(text):
        family = "think" if tag["think"] else "reason" if tag["reason"] else "other"
        yield _Mark(start=tag.start(), end=tag.end(), family=family, closes=bool(tag["slash"] or tag["end"]))


def _wide(text: str) -> Iterator[_Mark]:
    for tag in _WIDE_TAG.finditer(text):
        yield _Mark(start=tag.start(), end=tag.end(), family="wide", closes=bool(tag["slash"]))


def _bracketed(text: str) -> Iterator[_Mark]:
    """Square brackets also hold stage directions: in small letters, only a pair of tags counts."""
    tags = list(_BRACKET_TAG.finditer(text))
    closed = any(tag["slash"] for tag in tags)
    for tag in tags:
        if closed or tag[0].isupper():
            yield _Mark(start=tag.start(), end=tag.end(), family="bracket", closes=bool(tag["slash"]))


def _channels(text: str) -> Iterator[_Mark]:
    for tag in _CHANNEL.finditer(text):
        closes = tag["channel"].lower() == "final"
        yield _Mark(start=tag.start(), end=tag.end(), family="channel", closes=closes)


def _unused(text: str) -> Iterator[_Mark]:
    for tag in _UNUSED.finditer(text):
        yield _Mark(start=tag.start(), end=tag.end(), family="unused", closes="95" in tag[0])
