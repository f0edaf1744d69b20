"""Finds tags, comments and scripts in a text, outside of its code.

Every pattern starts at a `<` or a backtick and never passes the next one, so that a search takes time in proportion to
the text, whatever the text is. Knows spelling, not whether a tag is markup of a page (see `evidence.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from operators.markup.elements import ELEMENTS, OFFICE
from operators.texts.text import RECENT_TEXTS, holds_any

Span = tuple[int, int]

MAX_TOKENS = 20_000
"""A text with more tags than this is nothing to train on, and is left as it is: each takes 50 microseconds."""
MAX_OPENERS = 100_000
"""The same for signs that may begin a tag."""

_VALUE = r"""(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>`]++)"""
_FLAGS = (
    "allow(?:full-?screen|transparency|paymentrequest)|(?:webkit|moz)allowfullscreen|async|autofocus|autoplay|checked|"
    "compact|contenteditable|controls|crossorigin|data-[-\\w]++|declare|default|defer|disabled|download|formnovalidate|"
    "hidden|inert|ismap|itemscope|loop|multiple|muted|no(?:href|module|resize|shade|validate|wrap)|open|playsinline|"
    "readonly|required|reversed|scoped|seamless|selected"
)
"""Attributes that stand without a value."""
_ATTRIBUTE = rf"(?:\s++|(?<=[\"']))(?:[A-Za-z_:@][-\w:.]*+\s*+=\s*+{_VALUE}|(?:{_FLAGS})(?=[\s/>]))"
_NAME = r"[A-Za-z][A-Za-z0-9]*+(?:[:_.-][A-Za-z0-9]++)*+"
_MISQUOTED = r"\s++[-\w:]++\s*+=\s*+[\"'][^<>]*+"
"""Attributes with a quote too many: `title="say "hi""`."""
_TAG = re.compile(
    rf"<(?P<end>/?)(?P<name>{_NAME})(?P<attributes>(?:{_ATTRIBUTE})*+(?=\s*+/?\s*+>)|{_MISQUOTED})\s*+(?P<empty>/?)\s*+>",
    re.IGNORECASE,
)
_DECLARATION = re.compile(r"<!doctype\b[^<>]*+>|<\?xml\b[^<>]*+\?>", re.IGNORECASE)
_CUT_TAG = re.compile(
    r"<(?:/?(?P<closed>[A-Za-z][A-Za-z0-9]*+)(?:\s++[A-Za-z-]*+)?|(?P<name>[A-Za-z][A-Za-z0-9]*+)\s++[A-Za-z-]++\s*+=[^<>]*+)\Z"
)
_OPENER = re.compile(r"<(?=[A-Za-z/!?])")
_NO_TAG = re.compile(r"<(?:[!?]|script|style|\u017f)", re.IGNORECASE)
"""Where something else than a tag may begin; scripts hold what only looks like tags."""
_RAW_END = re.compile(r"</(script|style)\s*+>", re.IGNORECASE)
_LOOKS_LIKE_CODE = re.compile(r"[{}();=]")
_CUT_SCRIPT = re.compile(r"[=({][^;}\n]*+[;}]")
_SIGNS_OF_CODE = ("`", "~~~", "|", "    ", "\t")
_BACKTICKS = re.compile(r"`+")
_TILDES = re.compile(r"^ {0,3}(~{3,})[^~<\n]*$", re.MULTILINE)
_TABLE_LINE = re.compile(r"^[ \t]*\|[^\n]*\|[ \t]*$", re.MULTILINE)
_INDENTED = re.compile(r"(?:\A|(?<=\n\n))(?:(?: {4}|\t)[^\n]*(?:\n|\Z))+")


class Token(NamedTuple):
    """A tag, or something else that a page does not show. `name` is lower case: of a tag its element's."""

    start: int
    end: int
    name: str
    closing: bool = False
    empty: bool = False
    """Whether it ends in `/>`."""
    attributes: str = ""

    @property
    def is_element(self) -> bool:
        """Whether HTML knows the element."""
        return self.name in ELEMENTS or self.name.startswith(OFFICE)


UNSEEN, CDATA, CUT = "!unseen", "!cdata", "!cut"
"""Names of tokens that are no tags: comments, scripts and declarations; a CDATA section; a tag that the end cuts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What stands in a text: its tokens in order, and the spans of code that nothing may change."""

    tokens: tuple[Token, ...]
    code: tuple[Span, ...]
    is_whole: bool = True
    """False where a text has so many tags that the search for them was given up."""


@lru_cache(maxsize=RECENT_TEXTS)
def scan(text: str) -> Scan:
    """The tokens of a text outside its code."""
    code = code_spans(text)
    num_openers = text.count("<")
    found = _tags_alone(text) if not code and not _NO_TAG.search(text) else _tokens(text, code)
    tokens = tuple(islice(found, MAX_TOKENS + 1)) if 0 < num_openers <= MAX_OPENERS else ()
    return Scan(tokens=tokens, code=code, is_whole=len(tokens) <= MAX_TOKENS and num_openers <= MAX_OPENERS)


def code_spans(text: str) -> tuple[Span, ...]:
    """Where code stands by the rules of Markdown: in backticks, tildes, indented blocks; rows of tables count too."""
    if not holds_any(text, _SIGNS_OF_CODE):
        return ()
    spans = [*_backticked(text), *_tilded(text)]
    if "|" in text:
        spans += [found.span() for found in _TABLE_LINE.finditer(text)]
    indented = [found.span() for found in _INDENTED.finditer(text)] if "    " in text or "\t" in text else []
    spans += [span for span in indented if not text[slice(*span)].lstrip().startswith("<")]
    merged = _merged(spans)
    blocks = _merged([*merged, *indented])
    return blocks if blocks != merged and _is_prose("".join(outside(text, blocks))) else merged


def outside(text: str, spans: Sequence[Span]) -> Iterator[str]:
    """The parts of a text between spans."""
    at = 0
    for start, end in spans:
        yield text[at:start]
        at = max(at, end)
    yield text[at:]


def _is_prose(text: str) -> bool:
    """Whether words stand in a text, and no tag."""
    return not _OPENER.search(text) and any(char.isalpha() for char in text)


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _backticked(text: str) -> Iterator[Span]:
    """Spans between runs of equally many backticks; three and more open a block that the end closes, too."""
    if "`" not in text:
        return
    runs = [found.span() for found in _BACKTICKS.finditer(text)]
    following: dict[int, int] = {}
    closing = [0] * len(runs)
    for at in range(len(runs) - 1, -1, -1):
        length = runs[at][1] - runs[at][0]
        closing[at] = following.get(length, len(runs))
        following[length] = at
    at = 0
    while at < len(runs):
        start, end = runs[at]
        close = closing[at]
        is_block = end - start >= 3
        stays_in_line = close < len(runs) and text.find("\n", end, runs[close][0]) < 0
        if is_block and (text.startswith(("</", "<br"), end) or (not stays_in_line and text.startswith("<", end))):
            at += 1  # the line of a fence that a scraper wrapped in tags
        elif close < len(runs) and (is_block or stays_in_line):
            yield start, runs[close][1]
            at = close + 1
        elif is_block:
            yield start, len(text)
            return
        else:
            at += 1


def _tilded(text: str) -> Iterator[Span]:
    if "~~~" not in text:
        return
    opened: Span | None = None
    for fence in _TILDES.finditer(text):
        if opened is None:
            opened = fence.span(1)
        elif fence.end(1) - fence.start(1) >= opened[1] - opened[0]:
            yield opened[0], fence.end()
            opened = None
    if opened is not None:
        yield opened[0], len(text)


def _tags_alone(text: str) -> Iterator[Token]:
    """What `_tokens` finds where there is nothing but tags, in one search."""
    end = 0
    for found in _TAG.finditer(text):
        end = found.end()
        yield _token_of(found)
    last = text.rfind("<")
    cut = _cut_tag(text, last) if last >= end else None
    if cut is not None:
        yield cut


def _tokens(text: str, code: Sequence[Span]) -> Iterator[Token]:
    ends = [found.span() for found in _RAW_END.finditer(text)]
    starts_of_ends = [start for start, _ in ends]
    code_starts = [start for start, _ in code]
    lost: set[str] = set()
    at = 0
    while found := _OPENER.search(text, at):
        start = found.start()
        inside = bisect_right(code_starts, start) - 1
        if inside >= 0 and start < code[inside][1]:
            at = code[inside][1]
            continue
        token = _section(text, start, lost) if text[start + 1] in "!?" else _tag(text, start)
        if token is None:
            at = start + 1
            continue
        if token.name in ("script", "style") and not token.closing:
            token = _whole_script(text, token, ends, bisect_right(starts_of_ends, start))
        yield token
        at = token.end


def _section(text: str, start: int, lost: set[str]) -> Token | None:
    """A comment or a CDATA section; a mark that ends none is remembered, so that it is searched for once."""
    for opening, closing, name in (("<!--", "-->", UNSEEN), ("<![CDATA[", "]]>", CDATA)):
        if text.startswith(opening, start) and closing not in lost:
            end = text.find(closing, start + len(opening))
            if end >= 0:
                return Token(start, end + len(closing), name)
            lost.add(closing)
    declaration = _DECLARATION.match(text, start)
    return Token(start, declaration.end(), UNSEEN, attributes="doctype") if declaration else None


def _tag(text: str, start: int) -> Token | None:
    found = _TAG.match(text, start)
    return _token_of(found) if found else _cut_tag(text, start)


def _token_of(tag: re.Match[str]) -> Token:
    closing, name, attributes, empty = tag.groups()
    return Token(tag.start(), tag.end(), name.lower(), bool(closing), bool(empty), attributes.strip())


def _cut_tag(text: str, start: int) -> Token | None:
    cut = _CUT_TAG.match(text, start)
    if cut and (cut["closed"] or cut["name"].lower() in ELEMENTS):
        return Token(start, len(text), CUT, attributes=cut["name"] or "")
    return None


def _whole_script(text: str, tag: Token, ends: Sequence[Span], following: int) -> Token:
    """A script or style sheet with all it holds; the tag alone where it holds nothing that looks like code."""
    if following == len(ends):
        is_cut = text.find("<", tag.end) < 0 and _CUT_SCRIPT.search(text, tag.end)
        return Token(tag.start, len(text), UNSEEN, attributes="script") if is_cut else tag
    inner = text[tag.end : ends[following][0]]
    if tag.attributes or not inner.strip() or _LOOKS_LIKE_CODE.search(inner):
        return Token(tag.start, ends[following][1], UNSEEN, attributes="script")
    return tag
