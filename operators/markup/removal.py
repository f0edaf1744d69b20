"""Takes HTML tags and entities out of a text that is scraped markup, and leaves everything else as it is.

What goes is decided in `operators/markup/evidence.py`; this file knows what each element leaves behind: a paragraph, a
line break, the power of `10<sup>9</sup>`, the strike of `<del>50</del>`, the code of `<pre>`. Control characters must
be gone from the text (see `operators/texts/mojibake.py`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.entities import html5
from typing import Literal

from operators.markup.elements import CELLS, DROPPED, ELEMENTS, LINES, PARAGRAPHS
from operators.markup.evidence import Evidence, TagVerdict, judge
from operators.markup.talk import is_code, speaks_of_markup
from operators.markup.tokens import CDATA, MAX_OPENERS, Scan, Token, outside, scan
from operators.texts.text import holds_any

Tags = Literal["scraped", "all", "none"]

_GAP, _LINE, _PARAGRAPH = "\0", "\1", "\2"
"""Marks for what tags meant to the layout; control characters are gone from the text by then."""
_BR = f"{_LINE}\n"
_MARK_OF = {
    **dict.fromkeys(CELLS, _GAP),
    **dict.fromkeys(LINES, _LINE),
    **dict.fromkeys(PARAGRAPHS, _PARAGRAPH),
}
_MARKS = re.compile(r"([\0-\2][\s\0-\2]*+)")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*+\n){2,}+")

_ENTITY = re.compile(r"&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ESCAPED_TAG = re.compile(
    r"&(?:amp;)*+lt;/?([A-Za-z][A-Za-z0-9]*+)(?:(?!&(?:amp;){0,4}[lg]t;)[^<>\n]){0,300}+&(?:amp;)*+gt;"
)
_ESCAPED_SIGN = re.compile(r"&(?:amp;)++[lg]t;")
_TALK_OF_ENTITIES = re.compile(
    r"[\"'“‘(（「`]&[#\w]{2,32};[\"'”’)）」`]"
    r"|\b(?:is|are|do|does|use|uses|using|type|write|insert|put|with|by|the|an?|of|as|like|means?|what)\s&[#\w]{2,32};"
    r"(?=[\s,.?]|\Z)"
    r"|^&[#\w]{2,32};\s(?:is|are|means?|stands?|or|and|for)\b"
    r"|(?:^|[\s，。：、])&[#\w]{2,32};\s?(?:是|表示|代表|的作用)",
    re.MULTILINE,
)

_MARKERS = frozenset(["st", "nd", "rd", "th", "er", "e", "®", "©", "™", "TM", "(R)", "o", "a", "º", "ª"])
_NOTE = re.compile(r"\[[^\]\n]{1,12}\]")
_EXPONENT = re.compile(r"[+\-−–]?[\w.]+[+\-−–]?")
_FRACTION = re.compile(r"\s*(?:/|⁄|&frasl;)\s*")
_MAX_DROPPED_FRAC = 0.9
"""A page of menus and footers alone keeps them."""
_DECORATED = 60
"""Longest content of a sup or sub that is read as a power or an index."""
_STRUCK = frozenset({"del", "s", "strike"})

_FURNITURE_NAME = re.compile(
    r"""(?:class|id|role)\s*=\s*["']?[^"'<>]*?(?<![A-Za-z])(?:nav(?:bar|igation)?|menu|breadcrumbs?|footer|cookies?|"""
    r"share|sharing|social|adverts?|ads?|sidebar|related|newsletter|subscribe|popup|pagination|promo|sponsor(?:ed)?|"
    r"copyright|toolbar|login|site-header|contentinfo|byline|post-meta|tags)(?![A-Za-z])",
    re.IGNORECASE,
)

GATE_RE2 = r"<[A-Za-z/!?]|&#?[A-Za-z0-9]{1,32};"
"""RE2 pattern of which any text that `strip` does not call plain and unchanged has a match, unless `MAX_OPENERS` signs
of less than stand in it."""
_GATE = re.compile(GATE_RE2)

TextPiece = tuple[bool, str]
"""Whether a piece of text is code, which nothing may change, and the piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripped:
    """A text without its markup, what was found, and whether entities were decoded."""

    text: str
    verdict: TagVerdict
    decoded: bool = False


def strip(text: str, *, asked: bool = False, named: frozenset[str] = frozenset(), tags: Tags = "scraped") -> Stripped:
    """The text without tags and entities where it is scraped markup; blocks stay paragraphs.

    `asked` says that another text of the row speaks of markup; `named` are elements whose tags stay.
    """
    if tags == "none" or not may_hold_markup(text) or holds_any(text, (_GAP, _LINE, _PARAGRAPH)):
        return Stripped(text=text, verdict=TagVerdict.PLAIN)
    scanned = scan(text)
    evidence = judge(text, scanned, asked=asked, named=named, force=tags == "all")
    if evidence.removed:
        return Stripped(text=_without(text, scanned, evidence), verdict=evidence.verdict, decoded=True)
    if evidence.verdict is not TagVerdict.PLAIN or "&" not in text:
        return Stripped(text=text, verdict=evidence.verdict)
    return _decode_plain(text, scanned, asked=asked, tags=tags)


def may_hold_markup(text: str) -> bool:
    """Whether a tag may begin in a text, or an entity may stand in it."""
    return _GATE.search(text) is not None or text.count("<") > MAX_OPENERS


def _decode_plain(text: str, scanned: Scan, *, asked: bool, tags: Tags) -> Stripped:
    """A text without tags: escaped pages are stripped, entities decoded unless they are what the text is about."""
    prose = "".join(outside(text, scanned.code))
    if not _ENTITY.search(prose):
        return Stripped(text=text, verdict=TagVerdict.PLAIN)
    if asked or speaks_of_entities(prose) or speaks_of_markup(prose):
        return Stripped(text=text, verdict=TagVerdict.ASKED_FOR)
    if is_code(_ENTITY.sub(_character, prose)):
        return Stripped(text=text, verdict=TagVerdict.CODE)
    escaped = _ESCAPED_TAG.search(prose)
    if escaped and not prose[: escaped.start()].strip():
        shown = "".join(part if raw else _ENTITY.sub(_character, part) for raw, part in _parts(text, scanned))
        page = strip(shown, tags=tags)
        if page.verdict in (TagVerdict.PAGE, TagVerdict.INLINE):
            return page
    if escaped or _ESCAPED_SIGN.search(prose):
        return Stripped(text=text, verdict=TagVerdict.SPOKEN_OF)
    decoded = "".join(part if raw else decode(part) for raw, part in _parts(text, scanned))
    return Stripped(text=decoded, verdict=TagVerdict.PLAIN, decoded=decoded != text)


def speaks_of_entities(prose: str) -> bool:
    """Whether entities stand in quotes, or in sentences that explain them."""
    return "&" in prose and _TALK_OF_ENTITIES.search(prose) is not None


def decode(text: str) -> str:
    """Entities as characters; escaped tags of HTML stay escaped, since they are what the page shows."""
    if "&" not in text:
        return text
    kept = [found.span() for found in _ESCAPED_TAG.finditer(text) if found[1].lower() in ELEMENTS]
    if not kept:
        return _ENTITY.sub(_character, text)
    parts, at = [], 0
    for start, end in kept:
        parts += [_ENTITY.sub(_character, text[at:start]), text[start:end]]
        at = end
    return "".join([*parts, _ENTITY.sub(_character, text[at:])])


def _character(entity: re.Match[str]) -> str:
    name = entity[1]
    if name[0] != "#" and f"{name};" not in html5:
        return entity.group()
    found = html.unescape(f"&{name};").replace("\xa0", " ")
    return found if found.isprintable() or found in "\n\t" else ""


def _parts(text: str, scanned: Scan) -> Iterator[TextPiece]:
    at = 0
    for start, end in scanned.code:
        yield False, text[at:start]
        yield True, text[start:end]
        at = end
    yield False, text[at:]


def _without(text: str, scanned: Scan, evidence: Evidence) -> str:
    parts = [(raw, part if raw else decode(part)) for raw, part in _pieces(text, scanned, evidence)]
    laid_out = "".join(part if raw else _lay_out(part) for raw, part in _joined(parts))
    return laid_out.strip(" \t\n") if evidence.verdict is TagVerdict.PAGE else _strip_ends(laid_out, text)


def _strip_ends(laid_out: str, text: str) -> str:
    """Space at the ends goes only where a tag left it, so that a first line keeps its indent."""
    if laid_out.startswith((" ", "\n")) and laid_out[0] != text[0]:
        laid_out = laid_out.lstrip(" \t\n")
    return laid_out if text[-1:].isspace() else laid_out.rstrip(" \t\n")


def _joined(parts: Sequence[TextPiece]) -> Iterator[TextPiece]:
    """The parts with neighbours of one kind as one, so that the layout sees runs of marks as a whole."""
    run: list[str] = []
    for raw, part in parts:
        if raw:
            yield False, "".join(run)
            yield True, part
            run = []
        else:
            run.append(part)
    yield False, "".join(run)


def _lay_out(prose: str) -> str:
    """The text with a break for each run of marks and the space around them."""
    *marked, last = _MARKS.split(prose)
    parts: list[str] = []
    for text, marks in zip(marked[::2], marked[1::2], strict=True):
        shown = text.rstrip()
        parts += (shown, _break(text[len(shown) :] + marks))
    return _BLANK_LINES.sub("\n\n", "".join([*parts, last]))


def _break(run: str) -> str:
    """The break that the strongest mark in a run of marks and space asks for; a newline behind a `br` is no other."""
    num_marked = run.count(_BR)
    if _PARAGRAPH in run or max(num_marked, run.count("\n") - num_marked) > 1:
        return "\n\n"
    return "\n" if _LINE in run or "\n" in run else " "


def _pieces(text: str, scanned: Scan, evidence: Evidence) -> Iterator[TextPiece]:
    """What is left of the text, in order: prose between tags, marks in their place, code as it is."""
    tokens, dropped, code = scanned.tokens, _dropped(scanned.tokens, evidence), list(reversed(scanned.code))
    signs = _Signs(text=text, tokens=tokens, partners=evidence.partners)
    at, number, tried = 0, 0, -1
    while number < len(tokens):
        token, end = tokens[number], evidence.partners.get(number, -1)
        if number not in evidence.removed:
            number += 1
            continue
        yield from _between(text, at, token.start, code)
        at = token.end
        shown: list[TextPiece] | None = None
        if number in dropped:
            shown, end = [(False, _PARAGRAPH)], dropped[number]
        elif token.name in ("pre", "code") and end > number > tried:
            shown, tried = _shown_code(text, tokens, (number, end), dropped), end
        if shown is not None:
            yield from shown
            number, at = end, tokens[end].end
        else:
            mark = signs.of(number)
            if mark:
                yield False, mark
            at += mark == "" and text[token.start - 1 : token.start] == " " and text[at : at + 1] == " "
        number += 1
    yield from _between(text, at, len(text), code)


def _between(text: str, start: int, end: int, code: list[tuple[int, int]]) -> Iterator[TextPiece]:
    """A stretch of the text; `code`, the last span first, loses those that lie in it."""
    while code and code[-1][0] < end:
        low, high = code.pop()
        if low >= start:
            yield False, text[start:low]
            yield True, text[low:high]
            start = high
    if start < end:
        yield False, text[start:end]


def _dropped(tokens: Sequence[Token], evidence: Evidence) -> dict[int, int]:
    """Start tags of menus, footers and the like, with the tokens that end them; none where nothing else is left."""
    if evidence.verdict is not TagVerdict.PAGE:
        return {}
    found = {
        at: evidence.partners[at]
        for at, token in enumerate(tokens)
        if at in evidence.removed
        and not token.closing
        and at in evidence.partners
        and (
            token.name in DROPPED
            or (token.attributes and token.name != "body" and _FURNITURE_NAME.search(f" {token.attributes}"))
        )
    }
    gone = sum(tokens[end].end - tokens[at].start for at, end in found.items())
    return found if gone <= _MAX_DROPPED_FRAC * (tokens[-1].end - tokens[0].start) else {}


def _shown_code(
    text: str, tokens: Sequence[Token], pair: tuple[int, int], dropped: Mapping[int, int]
) -> list[TextPiece] | None:
    """The content of a `pre` or `code` as code in Markdown, where it could be taken for prose or markup otherwise."""
    first, last = pair
    start = tokens[first].end
    gone = [(tokens[at].start - start, tokens[dropped.get(at, at)].end - start) for at in range(first + 1, last)]
    inner = "".join(outside(text[start : tokens[last].start], gone))
    shown = _ENTITY.sub(_character, inner)
    is_block, follower = tokens[first].name == "pre", tokens[first + 1]
    if is_block and not shown.strip():
        return [(False, _PARAGRAPH)]
    is_sure = follower.name == "code" and follower.start == start
    if is_block and (is_sure or re.search(r"[<&]|^[ \t]+\S", shown, re.MULTILINE)) and "```" not in shown:
        trimmed = shown.strip("\n")
        return [(False, _PARAGRAPH), (True, f"```\n{trimmed}\n```"), (False, _PARAGRAPH)]
    if not is_block and re.search(r"[<&]", shown) and "`" not in shown and "\n" not in shown:
        return [(True, f"`{shown}`")]
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signs:
    """What stands in the places of tags."""

    text: str
    tokens: Sequence[Token]
    partners: Mapping[int, int]
    written: dict[int, str] = field(default_factory=dict)
    """What was decided at a start tag about tags that follow."""

    def of(self, at: int) -> str:
        """A mark for a break, a line break, the sign of a power or a strike, or for other inline elements nothing."""
        token = self.tokens[at]
        if token.name == CDATA:
            return self.text[token.start + len("<![CDATA[") : token.end - len("]]>")]
        if token.name == "br":
            return _BR
        if token.name in ("sup", "sub"):
            return self._decoration(at)
        if token.name in _STRUCK and at in self.partners:
            return "~~"
        return _MARK_OF.get(token.name, "")

    def _decoration(self, at: int) -> str:
        if at in self.written:
            return self.written[at]
        if self.partners.get(at) != at + 1:
            return ""
        start, end = self.tokens[at], self.tokens[at + 1]
        inner = self.text[start.end : end.start].strip() if end.start - start.end <= _DECORATED else ""
        before, after = self.text[start.start - 1 : start.start], self.text[end.end : end.end + 1]
        if start.name == "sup" and inner.isdigit() and self._is_fraction(at):
            self.written.update({at + 1: "", at + 2: "", at + 3: ""})
            return " " if before.isdigit() else ""
        opening, closing = _signs(inner, before, after, is_power=start.name == "sup")
        self.written[at + 1] = closing
        return opening

    def _is_fraction(self, at: int) -> bool:
        """Whether a slash and an index follow a power: `<sup>1</sup>/<sub>2</sub>`."""
        if at + 3 >= len(self.tokens) or self.tokens[at + 2].name != "sub" or self.partners.get(at + 2) != at + 3:
            return False
        low, high = self.tokens[at + 1].end, self.tokens[at + 2].start
        return high - low < _DECORATED and _FRACTION.fullmatch(self.text, low, high) is not None


def _signs(inner: str, before: str, after: str, *, is_power: bool) -> tuple[str, str]:
    if not inner or inner in _MARKERS or _NOTE.fullmatch(inner):
        return "", ""
    if not is_power and inner.isdigit() and (before.isalpha() or before in ")]") and not after.isdigit():
        return "", ""
    sign = "^" if is_power else "_"
    joins = after.isalnum() and before.isalnum()
    return (sign, "") if _EXPONENT.fullmatch(inner) and not joins else (f"{sign}(", ")")
