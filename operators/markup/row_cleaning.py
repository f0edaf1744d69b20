"""Cleans the texts of one row together: what one text says decides what markup in another one is.

Knows no tables. A row is cleaned until nothing changes, so that what an entity hid is cleaned too; a row that does not
settle is left as it was, so cleaning twice is cleaning once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from operators.markup import boilerplate
from operators.markup import removal as markup
from operators.markup.elements import COMMON
from operators.markup.evidence import TagVerdict, judge, prose_around, visible_text
from operators.markup.talk import speaks_of_markup
from operators.markup.tokens import scan
from operators.texts import mojibake
from operators.texts.text import RECENT_TEXTS, holds_any

_MAX_ROUNDS = 6
_MARKUP_OR_LINK = re.compile(r"[<&@]|://|www\.|[Cc]ookies|newsletter|views|[Ss]hare|[»›]|rights reserved")
_CHANGED = (TagVerdict.PAGE, TagVerdict.INLINE)
_CODE_OF_PAGES = ("</code>", "</pre>")

TextPlace = Literal["request", "reply", "silent"]
"""Whether a text of a row can ask for markup, is an answer whose own markup asks for nothing, or says nothing of it, as
the result of a tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowText:
    """A text of a row; one that is `fixed` is read but never touched."""

    content: str | None
    part: TextPlace
    fixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What is taken out (see `StripMarkup`)."""

    tags: markup.Tags = "scraped"
    links: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """What one text says about the others."""

    markup: bool
    markup_in_page: bool
    """The same where it is a page itself: then what it asks for is escaped, as in the pages of a forum."""
    links: bool
    encodings: bool
    named: frozenset[str]
    """Elements whose tags it speaks of."""


_SILENT = _Talk(markup=False, markup_in_page=False, links=False, encodings=False, named=frozenset())


def _together(talks: Sequence[_Talk]) -> _Talk:
    """What several texts say, as if one said it."""
    return _Talk(
        markup=any(talk.markup for talk in talks),
        markup_in_page=any(talk.markup_in_page for talk in talks),
        links=any(talk.links for talk in talks),
        encodings=any(talk.encodings for talk in talks),
        named=frozenset[str]().union(*(talk.named for talk in talks)),
    )


def clean_texts(texts: Sequence[RowText], cleaning: Cleaning) -> tuple[list[RowText], Counter[str]]:
    """The cleaned texts of one row, and counts of what was done and left, by reason."""
    current = list(texts)
    done: set[tuple[int, str]] = set()
    is_told = len(texts) > 1 and any(_MARKUP_OR_LINK.search(text.content or "") for text in texts)
    for _ in range(_MAX_ROUNDS):
        left: list[str] = []
        cleaned = []
        for at, text in enumerate(current):
            if text.fixed or not text.content or _is_settled(text.content):
                cleaned.append(text)
                continue
            others = [_talk(other, is_told) for other in current[:at] + current[at + 1 :]]
            new, reasons = _clean(text, _together(others), cleaning)
            cleaned.append(new)
            done |= {(at, reason) for reason in reasons if not reason.startswith("left:")}
            left += [reason for reason in reasons if reason.startswith("left:")]
        if cleaned == current:
            return current, Counter([*left, *(reason for _, reason in done)])
        current = cleaned
    return list(texts), Counter({"left:unsettled": 1})


@lru_cache(maxsize=RECENT_TEXTS)
def _is_settled(content: str) -> bool:
    """Whether a text stays as it is whatever the others say, and has no tags to count: then they are not read."""
    return (
        not markup.may_hold_markup(content)
        and boilerplate.without_invitations(content) == content
        and mojibake.repair(content) == content
    )


@lru_cache(maxsize=RECENT_TEXTS)
def _clean(text: RowText, others: _Talk, cleaning: Cleaning) -> tuple[RowText, tuple[str, ...]]:
    """One text cleaned once beside what the others say, and why it changed or kept its tags."""
    content = text.content or ""
    speaks_of_encodings = others.encodings or mojibake.speaks_of_encodings(content)
    repaired = content if speaks_of_encodings else mojibake.repair(content)
    asked = others.markup or (others.markup_in_page and not holds_any(repaired, _CODE_OF_PAGES))
    stripped = markup.strip(repaired, asked=asked, named=others.named, tags=cleaning.tags)
    bare = stripped.text
    wanted = others.links
    if stripped.text != repaired:
        bare = boilerplate.without_furniture(bare, keep_links=wanted or not cleaning.links)
    if cleaning.links and not wanted:
        bare = boilerplate.without_invitations(bare)
    reasons = {
        "repaired:characters": repaired != content,
        f"removed:{stripped.verdict}": stripped.verdict in _CHANGED and stripped.text != repaired,
        "removed:entities": stripped.verdict is TagVerdict.PLAIN and stripped.text != repaired,
        "removed:boilerplate": bare != stripped.text,
        f"left:{stripped.verdict}": stripped.verdict not in (TagVerdict.PLAIN, *_CHANGED),
    }
    return (
        text if bare == content else replace(text, content=bare),
        tuple(reason for reason, holds in reasons.items() if holds),
    )


@lru_cache(maxsize=RECENT_TEXTS)
def _talk(text: RowText, is_told: bool) -> _Talk:
    """What a text says about the others; of markup and links only where another text of the row may hold some."""
    content = text.content
    if not content or text.part == "silent":
        return _SILENT
    if not is_told:
        return replace(_SILENT, encodings=mojibake.speaks_of_encodings(content))
    scanned = scan(content)
    if not scanned.is_whole:
        return _SILENT
    is_request = text.part == "request"
    evidence = judge(content, scanned, asked=False)
    spoken = {scanned.tokens[at].name for at in evidence.spoken}
    around = prose_around(content, scanned)
    prose = visible_text(content, scanned) if is_request else around
    speaks = bool(spoken & COMMON) or speaks_of_markup(prose) or markup.speaks_of_entities(prose)
    is_page = evidence.verdict is TagVerdict.PAGE and not around.strip()
    return _Talk(
        markup=speaks and not is_page,
        markup_in_page=speaks and is_page,
        links=is_request and boilerplate.asks_for_link(prose[:2_000]),
        encodings=mojibake.speaks_of_encodings(content),
        named=frozenset(spoken) if is_request else frozenset(),
    )
