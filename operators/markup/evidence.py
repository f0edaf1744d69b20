"""Decides whether a text is scraped markup, by how its tags are used. The rule, in this order:

1. No tag, comment or script outside of code: nothing to take out.
2. The row speaks of markup or asks for it (`talk.py`), or the text, but for the code that a page shows in `pre` and
   `code`, is a program, a diff or JSON: all tags stay.
3. A tag counts as used where it does what tags do: it has attributes that pages have, or it is one of a pair that
   encloses text without a gap, or a break between sentences or lines. It counts as spoken of where it stands in a
   sentence like a word (`wrap it in <b> and </b>`), in quotes or beside a comma, or encloses nothing.
4. `PAGE`: the used tags weigh `PAGE_WEIGHT` and more, at least twice as much as those that are spoken of, and more than
   tags of other vocabularies. All HTML goes, with scripts, menus and footers.
5. `INLINE`: some tag is used, none is spoken of, and there are no tags of other vocabularies. The used tags go.
6. Otherwise all tags stay.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from operators.markup.elements import (
    COMMON,
    COMMON_INLINE,
    COMMON_VOID,
    CONTROLS,
    MEDIA,
    OFFICE,
    PAGE,
    REASONING,
    UNCLOSED,
)
from operators.markup.talk import is_code, speaks_of_markup
from operators.markup.tokens import CUT, Scan, Span, Token, outside

PAGE_WEIGHT = 4
"""Weight from which a text is a page. A used tag weighs 1, one with a page's attributes, a script or a part of a page's
frame one more."""
MIN_SENTENCE_WORDS = 5


class TagVerdict(StrEnum):
    """What a text is with regard to its tags."""

    PLAIN = "plain"
    ASKED_FOR = "asked_for"
    CODE = "code"
    SPOKEN_OF = "spoken_of"
    OTHER_TAGS = "other_tags"
    INLINE = "inline"
    PAGE = "page"
    TOO_MANY_TAGS = "too_many_tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The verdict, and which tokens go; `partners` leads from a start tag to its end tag and back."""

    verdict: TagVerdict
    partners: Mapping[int, int]
    removed: frozenset[int] = frozenset()
    spoken: frozenset[int] = frozenset()
    """Tokens that the text speaks of."""


_PAGE_ATTRIBUTE = re.compile(
    r"(?:^|[\s\"'])(?:class|href|src|style|align|valign|width|height|bgcolor|border|cellpadding|cellspacing|rel|target|"
    r"color|face|size|on[a-z]{3,12}|data-[\w-]+|aria-[\w-]+|role|alt|lang|id|title|colspan|rowspan|itemprop|dir)\s*=",
    re.IGNORECASE,
)
_SURE_ATTRIBUTE = re.compile(
    r"(?:^|[\s\"'])(?:class|href|src|style|align|width|height|rel|target|on[a-z]{3,12}|data-[\w-]+|aria-[\w-]+|charset|"
    r"content|property|itemprop)\s*=",
    re.IGNORECASE,
)
_SAMPLE_VALUE = re.compile(
    r"""(?:href|src)\s*=\s*["']?(?:url|link|path|src|here|…|\.{3}|#)?["']?\s*(?:/|$)""", re.IGNORECASE
)
_QUOTES = "\"'“‘(（「『`"
_LISTED = ",;，、；/\"'”’)）」』`"
_SENTENCE_ENDS = ".!?。！？…:：;；”\"'’）)»"
_INSTRUCTION = re.compile(
    r"\b(?:wrap(?:ped)?|enclos\w+|surround\w*|inside|within|between|format(?:ted)?|using|use[ds]?|as|with|element|tag|"
    r"respond|reply|answer|write|put|called|named|type)[\s\"'“‘(]{0,3}\Z|(?:用|使用|放在|写成|加上)[\s“‘（]?\Z",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"\W*(?:(?:and|or|to|und|text|和|与|或|到)\W*)?\Z", re.IGNORECASE)
_SENTENCE = re.compile(
    rf"(?<!\S)(?:[^\s.!?。！？]++\s++){{{MIN_SENTENCE_WORDS - 1},}}[^\s.!?。！？]++\s*+[.!?。！？]"
    r"|(?<![\u3040-\u9fff，])[\u3040-\u9fff，]{8,}+[。！？]"
)
_DIFF = re.compile(r"^-[ \t]*+<[^\n]*+\n\+[ \t]*+<", re.MULTILINE)
_CODE = ("pre", "code")
_DOTS = ("...", "…")
_SHORT = 40
"""Characters up to which the text between two tags is read."""


def judge(
    text: str, scanned: Scan, *, asked: bool, named: frozenset[str] = frozenset(), force: bool = False
) -> Evidence:
    """The verdict on one text.

    `asked`: another text of its row speaks of markup. `named`: elements that another text speaks of; their tags stay.
    `force`: all HTML goes.
    """
    tokens = scanned.tokens
    if not scanned.is_whole:
        return Evidence(verdict=TagVerdict.TOO_MANY_TAGS, partners={})
    partners = pair_up(tokens)
    known = [at for at, token in enumerate(tokens) if _is_html(token) and token.name not in named]
    if force:
        return Evidence(
            verdict=TagVerdict.PAGE if known else TagVerdict.PLAIN, removed=frozenset(known), partners=partners
        )
    if not tokens:
        return Evidence(verdict=TagVerdict.PLAIN, partners=partners)
    reason = _reason_to_leave(text, scanned, partners, asked=asked)
    if reason is not None:
        return Evidence(verdict=reason, partners=partners)
    if _is_blank(text, scanned, partners):
        return Evidence(verdict=TagVerdict.PAGE, removed=frozenset(known), partners=partners)
    uses = {at: _use(text, tokens, at, partners) for at in known}
    spoken = frozenset(at for at in known if uses[at] < 0)
    num_others = sum(1 for token in tokens if _is_other(token))
    weight = sum(use for use in uses.values() if use > 0)
    if not _is_other(tokens[0]) and weight >= PAGE_WEIGHT and weight >= 2 * len(spoken) and weight > num_others:
        return Evidence(verdict=TagVerdict.PAGE, removed=_of_page(text, tokens, uses, partners), partners=partners)
    removed = frozenset(at for at in known if uses[at] > 0)
    if num_others or spoken or all(tokens[at].name == "pre" for at in removed):
        verdict = TagVerdict.SPOKEN_OF if not num_others and (spoken or weight) else TagVerdict.OTHER_TAGS
        return Evidence(verdict=verdict, partners=partners, spoken=spoken)
    more = {at for at in known if tokens[at].name == CUT or (tokens[at].name == "code" and at in partners)}
    return Evidence(verdict=TagVerdict.INLINE, removed=_with_partners(removed | more, partners), partners=partners)


def _is_blank(text: str, scanned: Scan, partners: Mapping[int, int]) -> bool:
    """Whether a text is pairs of tags around nothing."""
    return (
        len(scanned.tokens) == len(partners)
        and not scanned.code
        and all(token.name in COMMON for token in scanned.tokens)
        and not visible_text(text, scanned).strip()
    )


def _is_html(token: Token) -> bool:
    return token.is_element or token.name[0] == "!"


def prose_around(text: str, scanned: Scan) -> str:
    """What stands before the first tag and after the last one: there a text speaks about the markup that it holds."""
    if not scanned.tokens:
        return text
    return f"{text[: scanned.tokens[0].start]}\n{text[scanned.tokens[-1].end :]}"


def visible_text(text: str, scanned: Scan, *, but_for: Sequence[Span] = ()) -> str:
    """The text without its tags and its code, as a page shows it, roughly; other spans may be left out, too."""
    spans = sorted([*((token.start, token.end) for token in scanned.tokens), *scanned.code, *but_for])
    return " ".join(outside(text, spans))


def _words_around_code(text: str, scanned: Scan, partners: Mapping[int, int]) -> str:
    """The visible text without what stands between `pre` or `code` and its end."""
    tokens = scanned.tokens
    shown = [
        (tokens[at].start, tokens[end].end) for at, end in partners.items() if at < end and tokens[at].name in _CODE
    ]
    return visible_text(text, scanned, but_for=shown)


def pair_up(tokens: Sequence[Token]) -> dict[int, int]:
    """Each start tag with its end tag, and back: the last open one of that name."""
    opened: dict[str, list[int]] = {}
    partners: dict[int, int] = {}
    for at, token in enumerate(tokens):
        if token.name[0] == "!" or token.empty or token.name in COMMON_VOID:
            continue
        if not token.closing:
            opened.setdefault(token.name, []).append(at)
        elif waiting := opened.get(token.name):
            start = waiting.pop()
            partners[start], partners[at] = at, start
    return partners


def _reason_to_leave(text: str, scanned: Scan, partners: Mapping[int, int], *, asked: bool) -> TagVerdict | None:
    """ASKED_FOR or CODE where the words around the tags say so."""
    if asked or speaks_of_markup(prose_around(text, scanned)):
        return TagVerdict.ASKED_FOR
    shown = visible_text(text, scanned)
    if is_code(html.unescape(_words_around_code(text, scanned, partners))) or ("\n+" in text and _DIFF.search(text)):
        return TagVerdict.CODE
    if not any(char.isalnum() for char in shown) and any(token.attributes for token in scanned.tokens):
        return TagVerdict.CODE
    bare = text.strip()
    is_document = bare[:1] == "<" and bare[-1:] == ">" and any(token.name in CONTROLS for token in scanned.tokens)
    return TagVerdict.CODE if is_document and not _SENTENCE.search(shown[:20_000]) else None


def _is_other(token: Token) -> bool:
    """Whether a tag belongs to no page: XML, a tool call, a template. Custom elements have a hyphen and attributes."""
    if token.is_element or token.name[0] == "!" or token.name in REASONING:
        return False
    return not ("-" in token.name and (token.closing or _SURE_ATTRIBUTE.search(token.attributes)))


def _use(text: str, tokens: Sequence[Token], at: int, partners: Mapping[int, int]) -> int:
    """How much a token weighs as markup in use; negative where it is spoken of, 0 where nothing is known."""
    token = tokens[at]
    if token.name[0] == "!":
        return _use_of_section(text, token)
    if token.name.startswith(OFFICE):
        return 1
    before, after = text[token.start - 1 : token.start], text[token.end : token.end + 1]
    is_end = token.closing and at in partners
    if _is_quoted(before, after) or (not is_end and _is_instructed(text, token.start)):
        return -1
    pattern = _PAGE_ATTRIBUTE if token.name in COMMON else _SURE_ATTRIBUTE
    if token.attributes and pattern.search(token.attributes):
        return -1 if _SAMPLE_VALUE.search(token.attributes) else 2
    if token.name in PAGE:
        return 1 if at in partners else 0
    if token.name not in COMMON:
        return 0
    if at in partners:
        first, last = sorted((at, partners[at]))
        return _use_of_pair(text, tokens[first], tokens[last])
    if token.closing:
        follows = before.strip() and before not in _LISTED
        return 1 if _is_end(text, token.end) and (follows or _is_start(text, token.start)) else -1
    if token.name in COMMON_VOID or token.name in UNCLOSED or token.empty:
        return _use_of_break(text, token)
    return -1


def _use_of_section(text: str, token: Token) -> int:
    if token.name == CUT:
        return 1 if token.attributes in COMMON else 0
    if token.attributes == "script":
        return 2
    return 2 if token.attributes == "doctype" else 1


def _is_instructed(text: str, at: int) -> bool:
    """Whether the words before a tag say that it is to be written."""
    before = text[at - 1 : at]
    may_end_a_word = before.isalnum() or before.isspace() or before in "_\"'“‘(（"
    return may_end_a_word and _INSTRUCTION.search(text, max(0, at - 16), at) is not None


def _is_quoted(before: str, after: str) -> bool:
    return bool(before and after) and before in _QUOTES and after in _LISTED


def _use_of_pair(text: str, start: Token, end: Token) -> int:
    length = end.start - start.end
    inner = text[start.end : end.start] if length < _SHORT else ""
    if length < _SHORT and _NOTHING.match(inner) and not (inner.strip() and inner.strip().isalnum()):
        return -1
    if _is_quoted(text[start.start - 1 : start.start], text[end.end : end.end + 1]):
        return -1
    first, last = text[start.end], text[end.start - 1]
    if not first.isspace() and not last.isspace():
        return 1
    if _is_start(text, start.start) and _is_end(text, end.end):
        return 1
    return -1 if first == " " and start.name in COMMON_INLINE else (1 if "\n" in (first, last) else 0)


def _use_of_break(text: str, token: Token) -> int:
    """A break is used where a sentence or line ends beside it, or where it stands between words without any gap.

    Beside a space a `br` is, too, but not a `<p>`, which may be a placeholder.
    """
    before, after = text[token.start - 1 : token.start], text[token.end : token.end + 1]
    if (after and after in ",.;:?!，。、；：？！)）]”\"'`") or (before in _QUOTES and before):
        return -1
    if _is_start(text, token.start):
        return -1 if token.name in UNCLOSED and after == " " and not token.start else 1
    if token.name in UNCLOSED and before.isalnum() and after.isalnum():
        return -1
    if after == "<" or (not before.isspace() and before not in _LISTED):
        return 1
    return 1 if token.name in COMMON_VOID else -1


def _is_start(text: str, at: int) -> bool:
    """Whether a sentence, a line or a tag ends right before a position."""
    while at > 0 and text[at - 1] in " \t":
        at -= 1
    return at == 0 or text[at - 1] in "\n>" or text[at - 1] in _SENTENCE_ENDS


def _is_end(text: str, at: int) -> bool:
    """Whether a line, a tag or the text begins right after a position, or it follows the end of a sentence."""
    stop = at
    while stop < len(text) and text[stop] in " \t":
        stop += 1
    return stop == len(text) or text[stop] in "\n<"


def _of_page(
    text: str, tokens: Sequence[Token], uses: Mapping[int, int], partners: Mapping[int, int]
) -> frozenset[int]:
    """What goes from a page: all its HTML but placeholders of media and tags that are spoken of."""
    removed = {at for at, use in uses.items() if use > 0 or tokens[at].name in COMMON or tokens[at].name[0] == "!"}
    for at in uses.keys() - removed:
        token = tokens[at]
        bare_medium = token.name in MEDIA and at not in partners and not token.attributes
        if not (bare_medium or token.name in REASONING or _is_alone(text, tokens, at, partners)):
            removed.add(at)
    return _with_partners(removed, partners)


def _with_partners(tokens: Set[int], partners: Mapping[int, int]) -> frozenset[int]:
    """The tokens and those that they make a pair with: of a pair goes both or none."""
    return frozenset(tokens | {partners[at] for at in tokens if at in partners})


def _is_alone(text: str, tokens: Sequence[Token], at: int, partners: Mapping[int, int]) -> bool:
    """Whether a tag without attributes stands among words, or encloses nothing."""
    token = tokens[at]
    if token.attributes:
        return False
    if at not in partners:
        return True
    first, last = sorted((at, partners[at]))
    if last > first + 1 or _use_of_pair(text, tokens[first], tokens[last]) > 0:
        return False
    shown = text[tokens[first].end : tokens[last].start]
    return shown in ("", *_DOTS) or any(map(str.isspace, shown))
