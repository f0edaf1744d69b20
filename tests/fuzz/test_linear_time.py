"""Every pattern of ours takes time in proportion to the text, whatever the text is.

Inputs are generated: tokens from what the patterns look for, repeated, nested, or run up to something that spoils the
match. The time of the processor is bounded per character with much slack; a quadratic search of the larger sizes takes
many times the bound. A slow measurement is repeated, since the machine may be busy.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from autodp_ray.search.agent import reply as agent_reply
from operators.contract.operator import RowOperator
from operators.contract.resources import Resources
from operators.deduplicate import Deduplicate
from operators.ngram_repetition import NgramRepetition
from operators.replies import guards as reply_guards
from operators.replies import parsing as reply_parsing
from operators.rows.record import RECORD_SCHEMA
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup, strip_text
from operators.texts.normal_form import normalise

TOKENS = (
    *("<", ">", "</", "/>", "<b>", "</b>", "b>", "<p>", "</foo>", "<foo>", "<br>", "<a href='x'>", '<a b="', "<a b='"),
    *("<!--", "-->", "<script>", "</script>", "<style", "<![CDATA[", "]]>", "<!doctype ", "<?xml ", "<sup>2</sup>"),
    *("<pre>", "<code>", "<div class='nav'>", "</div>", "<think>", "</think>", "&", "&amp;", "amp;", "&lt;", "&#60;"),
    *(
        "`",
        "``",
        "```",
        "```\n",
        "~~~\n",
        "|",
        "|a|\n",
        "    x\n\n",
        "[",
        "](",
        ")",
        "[x](http://aaa",
        "![a](",
        "(",
        "{",
    ),
    *(
        "http://",
        "https://a.b/c ",
        "www.",
        "www.a",
        "@",
        "a@b.c",
        "a.",
        "mailto:",
        "Read more at ",
        "visit our ",
        "点击",
    ),
    *(
        "Share this: ",
        "Home » ",
        "Copyright © ",
        "更多",
        "首页 > ",
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\r\n",
        "\x0b",
        "\xa0",
    ),
    *(
        "\u200b",
        "\u200d",
        "\ufeff",
        "\u200e",
        "Ã©",
        "â€™",
        "é",
        "浣犲ソ",
        "头痛",
        "，",
        "。",
        "\x85",
        "\x9d",
        "\x1b[31m",
        "\0",
    ),
    *(
        "a",
        "word ",
        "no ",
        "1",
        "1.5 ",
        "-",
        "=",
        "_",
        "*",
        "#",
        '"',
        "'",
        "\\",
        "}",
        ":",
        ";",
        ",",
        ".",
        "!",
        "?",
        "$",
    ),
    *(
        "question:\n",
        "answer:\n",
        "问题：",
        "答案：",
        "Team:",
        "Strategy 1: ",
        "I'm sorry, ",
        "here is ",
        "note: ",
        "html ",
    ),
    *(
        "write a ",
        "function ",
        "def x(",
        "import ",
        "for more ",
        '{"answer": "',
        "[[",
        "]]",
        "\\n",
        "\\u",
        "हिन्दी ",
        "ไทย",
        "👩",
    ),
)
SMALL, LARGE, HUGE = 1_000, 10_000, 120_000
FLOOR_S, PER_CHARACTER_S = 0.3, 8e-6
MEGABYTE, MEGABYTE_S = 1_000_000, 2.0
TRIES = 3

Subject = Callable[[str], object]


def _row(text: str) -> pa.Table:
    row = {"id": "a", "history": [], "question": text, "answer": text[::-1], "origin": "source"}
    return pa.Table.from_pylist([row], schema=RECORD_SCHEMA)


def _filtered(spec: RowOperator) -> Subject:
    transform = spec.build(Resources())
    return lambda text: transform(_row(text))


def _sketched(text: str) -> object:
    return Deduplicate().build(Resources()).sketch(0, _row(text))


def _agent_reply(text: str) -> None:
    try:
        agent_reply.parse_reply(text)
    except agent_reply.ReplyError:
        return


def _judged(text: str) -> object:
    context = reply_guards.ReplyContext(
        limits=reply_guards.ReplyLimits(max_words=10**9), original="What helps?", row_text="What helps? Rest."
    )
    return reply_guards.judge_reply(text, context)


OURS: dict[str, Subject] = {
    "strip_markup": strip_text,
    "strip_markup_row": _filtered(StripMarkup()),
    "special_char_ratio": _filtered(SpecialCharRatio()),
    "ngram_repetition": _filtered(NgramRepetition()),
    "normalise": lambda text: normalise(pa.array([text])),
    "deduplicate": _sketched,
    "agent_reply": _agent_reply,
    "agent_thinking": agent_reply.without_thinking,
}
REPLIES: dict[str, Subject] = {
    "unwrap": reply_parsing.unwrap_text,
    "fields": lambda text: reply_parsing.parse_fields(text, ("question", "answer")),
    "one_field": lambda text: reply_parsing.parse_fields(text, ("answer",)),
    "guards": _judged,
}


def hostile_text(rng: random.Random, size: int) -> str:
    """Some tokens repeated, nested, or run up to an end that spoils what they began."""
    units = ["".join(rng.choice(TOKENS) for _ in range(rng.choice((1, 1, 1, 2, 3)))) for _ in range(3)]
    form = rng.choice(("repeat", "repeat", "spoil", "nest", "numbered"))
    if form == "numbered":
        return "".join(f"{units[0]}{number}" for number in range(size // (len(units[0]) + 4) + 1))[:size]
    if form == "nest":
        depth = size // (len(units[0]) + len(units[1])) + 1
        return units[0] * depth + units[1] * depth
    run = (units[0] * (size // len(units[0]) + 1))[:size]
    return f"{units[1]}{run}{units[2]}" if form == "spoil" else run


def bound_of(text: str) -> float:
    """Seconds that a search in the text may take: four times what a megabyte may, and a floor."""
    return FLOOR_S + PER_CHARACTER_S * len(text)


def seconds(subject: Subject, text: str, bound: float) -> float:
    """Processor seconds of the fastest of some tries; one within the bound is enough."""
    best = float("inf")
    for _ in range(TRIES):
        started = time.process_time()
        subject(text)
        best = min(best, time.process_time() - started)
        if best <= bound:
            break
    return best


def _check(name: str, subject: Subject, rng: random.Random, *, sizes: tuple[int, ...]) -> None:
    state = rng.getstate()
    for size in sizes:
        rng.setstate(state)
        text = hostile_text(rng, size)
        bound = bound_of(text)
        took = seconds(subject, text, bound)
        assert took <= bound, f"{name}: {took:.1f} s for {len(text)} characters of {text[:60]!r} to {text[-30:]!r}"


def _check_all(subjects: dict[str, Subject], cases: list[random.Random]) -> None:
    for number, rng in enumerate(cases):
        name = rng.choice(sorted(subjects))
        _check(name, subjects[name], rng, sizes=(SMALL, LARGE, HUGE) if number % 50 == 0 else (SMALL, LARGE))


def test_operators_and_the_agents_parser_take_linear_time_on_generated_texts(cases: list[random.Random]) -> None:
    _check_all(OURS, cases)


def test_reading_and_judging_replies_takes_linear_time_on_generated_texts(cases: list[random.Random]) -> None:
    _check_all(REPLIES, cases)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "unit",
    [
        "é ",
        "\n",
        "<!--",
        "<script>",
        "<b>",
        "<p>x</p> and words\n",
        "[x](http://aaa",
        "Read more at http://a.b ",
        "Ã©1\n",
    ],
)
def test_a_megabyte_of_anything_is_cleaned_in_two_seconds(unit: str) -> None:
    text = f"<p class='a'>Hi</p>é {unit * (MEGABYTE // len(unit))}@menu</b>"
    assert seconds(strip_text, text, MEGABYTE_S) <= MEGABYTE_S


@pytest.mark.heavy
def test_a_quadratic_search_is_found() -> None:
    spaces = re.compile(r"[ \t]*@")
    text = " " * 8 * LARGE
    assert seconds(spaces.search, text, bound_of(text)) > bound_of(text)
