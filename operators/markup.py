"""Takes HTML tags, entities and links out of a text and leaves everything else as it is.

The text is mostly prose that may hold some markup, so a tag must look like one: a known element, or quoted attributes.
An HTML parser would read `a<b and c>d` as an element and swallow all that follows an unclosed `<script>`.
Code between backticks is left alone. Control characters must be gone from the text (see `operators/mojibake.py`).
"""

from __future__ import annotations

import html
import re
from html.entities import html5


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LINES = _names("hr li tr dt dd option title legend caption figcaption summary")
_PARAGRAPHS = _names(
    "address article aside blockquote body center details dialog dir div dl fieldset figure footer form frameset h1 h2 "
    "h3 h4 h5 h6 head header html main menu nav noscript ol p pre section select table tbody tfoot thead ul"
)
_CELLS = _names("td th button input textarea img iframe")
_INLINE = _names(
    "a abbr acronym applet area audio b base basefont bdi bdo big canvas cite code col colgroup data datalist del dfn "
    "em embed font frame i ins kbd label link map mark marquee meta meter nobr object optgroup output param path "
    "picture progress q rp rt ruby s samp script slot small source span strike strong style sub sup svg template time "
    "track tt u var video wbr"
)
_ELEMENTS = _LINES | _PARAGRAPHS | _CELLS | _INLINE | {"br"}

_GAP, _LINE, _PARAGRAPH = "\0", "\1", "\2"
"""Marks for what tags meant to the layout; control characters are gone from the text by then."""
_MARKS = re.compile(r"\s*+[\0-\2][\s\0-\2]*+")

_CODE = re.compile(r"((?<!`)(`{3,})(?!`).*?(?:(?<!`)\2(?!`)|\Z)|(?<!`)(`{1,2})(?!`)[^\n]+?(?<!`)\3(?!`))", re.DOTALL)
"""Group 1 is the code with its fences; what no fence closes is code to the end."""
_UNSEEN = re.compile(
    r"<(script|style)\b[^<>]*>.*?</\1\s*>|<!--.*?-->|<!doctype\b[^<>]*>|<\?xml\b[^<>]*\?>", re.DOTALL | re.IGNORECASE
)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"'<>=`]+)"""
_FLAGS = "async|autofocus|autoplay|checked|controls|defer|disabled|hidden|loop|multiple|muted|nowrap|readonly|selected"
_ATTRIBUTE = rf"\s++(?:[A-Za-z_:@][-\w:.]*+\s*+=\s*+{_VALUE}|(?:{_FLAGS})(?=[\s/>]))"
_TAG = re.compile(
    r"(?P<before>[ \t]*+)<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]*+(?:[:-][A-Za-z0-9]+)*+)"
    rf"(?P<attributes>(?:{_ATTRIBUTE})*+)\s*+/?>(?P<after>[ \t]*+)",
    re.IGNORECASE,
)
_CUT_TAG = re.compile(r"<(?:/[A-Za-z][A-Za-z0-9]*|(?P<name>[A-Za-z][A-Za-z0-9]*)\s+[A-Za-z-]+\s*=[^<>]*)\Z")
_ENTITY = re.compile(r"&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_URL_BODY = r"(?:[A-Za-z0-9\-._~:/?#@!$&'*+,;=%\[\]]|\([A-Za-z0-9\-._~:/?#@!$&'*+,;=%]*\))+"
_URL = rf"(?:(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.-]{{1,15}}://|(?<![A-Za-z0-9.@/])www\.(?=[A-Za-z0-9])){_URL_BODY}(?<![.,;:!?'\]*_])"
_MAIL = (
    r"(?<![A-Za-z0-9._%+-])(?:mailto:)?[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_LINK = re.compile(
    rf"!\[[^\[\]\n]*\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)"  # an image in Markdown
    rf"|\[(?P<label>[^\[\]\n]+)\]\((?:{_URL}|{_MAIL})[^()\n]*\)"  # a link in Markdown keeps its label
    rf"|[ \t]*[(<\[（【《](?:{_URL}|{_MAIL})[)>\]）】》]"
    rf"|[ \t]*(?:{_URL}|{_MAIL})",
    re.IGNORECASE,
)
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")

GATE_RE2 = r"[<&@]|://|(?i:www)\.|!\["
"""RE2 pattern of which any text that `strip` changes has a match."""


def strip(text: str, *, links: bool = True) -> str:
    """The text without tags, entities and, if `links`, URLs and e-mail addresses; blocks stay paragraphs."""
    parts = _CODE.split(text) if "`" in text else [text]
    before = parts[::4]
    after = [_strip_prose(prose, links=links) for prose in before]
    if after == before:
        return text
    parts[::4] = [_BLANK_LINES.sub("\n\n", prose) for prose in after]
    parts[2::4] = parts[3::4] = [""] * len(parts[2::4])
    return "".join(parts).strip(" \t\n")


def _strip_prose(prose: str, *, links: bool) -> str:
    if "<" in prose:
        prose = _CDATA.sub(r"\1", _UNSEEN.sub("", prose))
        prose = _CUT_TAG.sub(_without_cut_tag, _MARKS.sub(_lay_out, _TAG.sub(_mark, prose)))
    if "&" in prose:
        prose = _ENTITY.sub(_character, prose)
    return _LINK.sub(lambda link: link["label"] or "", prose) if links else prose


def _mark(tag: re.Match[str]) -> str:
    """What stands in a tag's place: a mark for a break, a line break, or for an inline element nothing."""
    name = tag["name"].lower()
    if name == "br":
        return "\n"
    for mark, names in ((_PARAGRAPH, _PARAGRAPHS), (_LINE, _LINES), (_GAP, _CELLS)):
        if name in names:
            return mark
    quoted = '="' in tag["attributes"] or "='" in tag["attributes"]
    orphan = tag["end"] and f"<{tag['name']}" not in tag.string
    if name in _INLINE or ":" in name or quoted or orphan:
        return tag["before"] or tag["after"]
    return tag.group()


def _lay_out(marks: re.Match[str]) -> str:
    """The break that the strongest mark in a run of marks and space asks for."""
    run = marks.group()
    if _PARAGRAPH in run or run.count("\n") > 1:
        return "\n\n"
    return "\n" if _LINE in run or "\n" in run else " "


def _without_cut_tag(tag: re.Match[str]) -> str:
    return "" if tag["name"] is None or tag["name"].lower() in _ELEMENTS else tag.group()


def _character(entity: re.Match[str]) -> str:
    name = entity[1]
    if name[0] != "#" and f"{name};" not in html5:
        return entity.group()
    return html.unescape(f"&{name};").replace("\xa0", " ")
