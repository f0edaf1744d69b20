"""The textual forms of damage: what real scrapes and exports do to a text, one function per kind.

Every form is a pure function of the text and the given random generator. Knows no tables and no rates: corruption.py
does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from random import Random

DamageFn = Callable[[str, Random], str]

_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*\s*")
_MAX_LOOP_CHARS = 700
_MIN_CUT_CHARS = 12
_SITES = ("www.answers-daily.example", "qa.helpdesk.example", "forum.openmind.example", "blog.curious.example")
_FURNITURE = (
    "Share this: Facebook | Twitter | WhatsApp | E-mail",
    "We use cookies to improve your experience. Accept all · Settings",
    "Home » Questions » Archive » Page {number}",
    "Read more: https://{site}/q/{number}?utm_source=feed&amp;ref=related",
    "Subscribe to our newsletter: editor{number}@{site}",
    "Copyright © 20{year} {site}. All rights reserved.",
    "Posted by user{number} on {day}/{month}/20{year} · {number} views · Reply · Report",
)
_CODE = (
    "<script>window.dataLayer=window.dataLayer||[];gtag('config','G-{number}');</script>",
    '<style type="text/css">.post-{number}{{margin:0 4px;color:#3{year}}}</style>',
    "<!-- ad slot {number}: begin --><ins class='ads' data-slot='{number}'></ins><!-- end -->",
    '<img src="https://{site}/px/{number}.gif" width="1" height="1" alt="">',
)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text with their punctuation, stripped; the text itself where it has none."""
    found = [part.strip() for part in _SENTENCE.findall(text)]
    return [part for part in found if part] or [text.strip()]


def add_markup(text: str, rng: Random) -> str:
    """The text as a careless scrape leaves it: tags, entities, scripts, page furniture, links, invisible characters."""
    layout = rng.choice((_nested_blocks, _broken_lines, _list_items, _linked_words, _invisible_characters))
    damaged = layout(text, rng)
    for pool in rng.sample((_FURNITURE, _FURNITURE, _CODE), k=rng.choice((1, 1, 2))):
        extra = _filled(rng.choice(pool), rng)
        damaged = f"{extra}\n{damaged}" if rng.random() < 0.4 else f"{damaged}\n{extra}"
    return damaged


def _filled(template: str, rng: Random) -> str:
    """A template with seeded numbers, dates and a site name."""
    return template.format(
        site=rng.choice(_SITES),
        number=rng.randint(101, 98_765),
        year=rng.randint(10, 25),
        month=rng.randint(1, 12),
        day=rng.randint(1, 28),
    )


def _nested_blocks(text: str, rng: Random) -> str:
    name = rng.choice(("post-body", "answer js-answer", "td_block_inner", "MsoNormal"))
    paragraphs = "".join(f"<p>{html.escape(part)}</p>" for part in sentences_of(text))
    inner = f'<span style="font-size:{rng.randint(9, 16)}px">{paragraphs}</span>' if rng.random() < 0.5 else paragraphs
    return f'<div class="{name}" id="c{rng.randint(1, 9999)}">{inner}</div>' + ("</div>" if rng.random() < 0.3 else "")


def _broken_lines(text: str, rng: Random) -> str:
    broken = rng.choice(("<br>", "<br/>", "<br /><br />\n")).join(html.escape(part) for part in sentences_of(text))
    return broken.replace(" ", "&nbsp;", rng.randint(1, 4)).replace("'", rng.choice(("&#39;", "&rsquo;")))


def _list_items(text: str, rng: Random) -> str:
    cell, outer = rng.choice((("li", "ul"), ("td", "tr"), ("dd", "dl")))
    items = "\n".join(f"  <{cell}>{html.escape(part)}</{cell}>" for part in sentences_of(text))
    return f"<{outer}>\n{items}\n</{outer}>"


def _linked_words(text: str, rng: Random) -> str:
    words = text.split(" ")
    at = rng.randrange(len(words))
    tag = rng.choice(("b", "em", "strong"))
    words[at] = f'<a href="https://{rng.choice(_SITES)}/tag/{rng.randint(1, 999)}" rel="nofollow">{words[at]}</a>'
    return f"<{tag}>{words[0]}</{tag}> {' '.join(words[1:])}" if at else " ".join(words)


def _invisible_characters(text: str, rng: Random) -> str:
    marks = ("\u200b", "\ufeff", "\u00ad", "\u200e", "\x07", "\x0b")
    words = text.split(" ")
    return "<p>" + " ".join(word + (rng.choice(marks) if rng.random() < 0.4 else "") for word in words) + "\u200b</p>"


def loop_text(text: str, rng: Random) -> str:
    """The text in a loop, as a failing model writes it: a sentence, the last words or the whole, again and again."""
    sentences, words = sentences_of(text), text.split()
    times = rng.randint(4, 9)
    form = rng.choice(("sentence", "words", "whole"))
    if form == "sentence":
        looped = " ".join([text, *[rng.choice(sentences)] * times])
    elif form == "words" and len(words) > 1:
        tail = " ".join(words[-rng.randint(1, min(5, len(words))) :])
        looped = " ".join([text, *[tail] * (times + 3)])
    else:
        looped = "\n".join([text] * times)
    return looped[: max(_MAX_LOOP_CHARS, 4 * len(text))]


def mojibake(text: str, rng: Random) -> str:
    """The text with typographic characters, written as UTF-8 and read as Windows-1252 or Latin-1."""
    typographic = text.replace("'", "’").replace("...", "…").replace(" - ", " — ").replace(", ", ",\u00a0", 1)
    if typographic == text or rng.random() < 0.3:
        words = typographic.split(" ")
        at = rng.randrange(len(words))
        words[at] = f"“{words[at]}”" if rng.random() < 0.7 else f"{words[at]} – é"
        typographic = " ".join(words)
    damaged = _misread(typographic, "cp1252" if rng.random() < 0.7 else "latin-1")
    return _misread(damaged, "cp1252") if rng.random() < 0.15 else damaged


def _misread(text: str, codec: str) -> str:
    """UTF-8 bytes read one by one under a single-byte codec; bytes the codec leaves open keep their number."""
    return "".join(
        bytes([byte]).decode(codec, errors="ignore") or chr(byte) for byte in text.encode("utf-8", errors="replace")
    )


def cut_positions(text: str) -> list[int]:
    """Where a cut falls inside a word, between a quarter and three quarters of a text that is not very short."""
    if len(text) < _MIN_CUT_CHARS:
        return []
    low, high = max(1, len(text) // 4), (3 * len(text)) // 4
    return [at for at in range(low, high) if text[at - 1].isalnum() and text[at].isalnum()]


def truncate(text: str, rng: Random) -> str:
    """The text cut off inside a word, as an exhausted token limit leaves it. Needs `cut_positions`."""
    return text[: rng.choice(cut_positions(text))]


def edit_slightly(text: str, rng: Random) -> str:
    """A near copy: the same words under other punctuation, case or spacing; in a long text one word may go."""
    edits: list[DamageFn] = [_drop_end_mark, _flip_first_case, _double_space]
    if len(text.split()) >= 25:
        edits.append(_drop_one_word)
    edited = text
    for edit in rng.sample(edits, k=rng.randint(1, 2)):
        edited = edit(edited, rng)
    return edited if edited != text else f"{text} "


def _drop_end_mark(text: str, rng: Random) -> str:
    return text[:-1] if text[-1:] in ".!?。！？" and len(text) > 1 else text + rng.choice((".", "!", " ."))


def _flip_first_case(text: str, _rng: Random) -> str:
    return text[:1].swapcase() + text[1:]


def _double_space(text: str, rng: Random) -> str:
    words = text.split(" ")
    at = rng.randint(1, len(words))
    return " ".join([*words[:at], "", *words[at:]])


def _drop_one_word(text: str, rng: Random) -> str:
    words = text.split(" ")
    del words[rng.randrange(1, len(words))]
    return " ".join(words)
