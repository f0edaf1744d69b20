"""`strip_markup` takes markup and damage out, and nothing else."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.base import counts_of
from operators.record import RECORD_SCHEMA
from operators.strip_markup import StripMarkup, strip_text

KEPT = [
    "a < b",
    "x<5 and y>3",
    "if a<b and c>d then stop",
    "正常血压应为收缩压<140 mmHg，舒张压<90 mmHg。",
    "Version 1.2.3.4 of the guideline: 0.5 mg, then 2.5-5 mg b.i.d.",
    "头痛，怎么办？“多喝水”，（休息）！Ａ１：①",
    "First paragraph.\n\nSecond paragraph.  \nA line.\n\n\n\nThird.",
    "```html\n<p>keep &amp; this</p>\n```",
    "Use `<script>` and `a@b.org` as they are.",
    "List<String> names; vector<int> v; <think>so</think> <your-name>",
    "AT&T, R&D, a && b, &c; x &copy y",
    "M&Ms cost 5€ – café, naïve, Größe, 10³ µg",
    "👩‍⚕️ میخواهم",
    "@property and #define and me@home",
    "Node.js and 3.14.",
    "\tindented\n    more",
]


@pytest.mark.parametrize("text", KEPT)
def test_a_text_without_markup_is_left_byte_for_byte(text: str) -> None:
    assert strip_text(text) == text


@pytest.mark.parametrize(
    ("damaged", "clean"),
    [
        ("<p>Hello &amp; <b>goodbye</b></p><p>Two</p>", "Hello & goodbye\n\nTwo"),
        ("<DIV class='x' data-a=1 hidden>text</DIV >", "text"),
        ("one<br/>two<BR>three", "one\ntwo\nthree"),
        ("<ul><li>a</li>\n<li>b</li></ul>", "a\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("H<sub>2</sub>O", "H2O"),
        ("a <i>b</i> < c", "a b < c"),
        ("hi<script>if (a<b) { alert('x') }</script> there<!-- secret -->", "hi there"),
        ("use the <script> tag for code", "use the tag for code"),
        ("&lt;b&gt;bold&lt;/b&gt; &amp;amp;lt; 3", "bold < 3"),
        ("头痛&nbsp;怎么办&#65311;&#x3002;", "头痛 怎么办？。"),
        ("ends with <a href='x", "ends with"),
        ("<custom kind='1'>z</custom>", "z"),
        ("zero\u200bwidth\ufeff and \x00control\x07 \x1b[31mred\x1b[0m", "zerowidth and control red"),
        ("line\r\nline", "line\nline"),
        ("Itâ€™s a cafÃ©", "It’s a café"),
        ("头痛，怎么办？".encode().decode("latin-1"), "头痛，怎么办？"),
        ("你好，头痛".encode().decode("gb18030", "replace"), "你好，头"),
        ("see https://x.org/a_(b)?q=1#c, please", "see, please"),
        ("请看https://x.org/a。谢谢", "请看。谢谢"),
        ("write to me.too@mail.example.org.", "write to."),
        ("a (www.example.com/x) b <mailto:a@b.org> c", "a b c"),
        ("[the guide](https://x.org/g) ![figure](f.png)", "the guide"),
        ("<p>a</p>\n```\n<b>\n\n\n\n</b>\n```\n<p>c</p>", "a\n\n```\n<b>\n\n\n\n</b>\n```\n\nc"),
    ],
)
def test_markup_and_damage_are_removed(damaged: str, clean: str) -> None:
    assert strip_text(damaged) == clean


def test_links_stay_when_they_are_no_noise() -> None:
    assert strip_text("<p>see https://x.org &amp; a@b.org</p>", links=False) == "see https://x.org & a@b.org"


def test_a_field_that_is_emptied_becomes_null_and_a_turn_stays() -> None:
    row = {
        "id": "a",
        "history": [{"role": "user", "content": "<br>"}, {"role": "assistant", "content": "<b>so</b>"}],
        "question": "<p> </p>",
        "answer": None,
        "origin": "source",
    }
    plain = {"id": "b", "history": None, "question": "", "answer": "fine", "origin": "source"}
    batch = pa.Table.from_pylist([plain, row], schema=RECORD_SCHEMA)
    cleaned = StripMarkup().build(None)(batch)
    assert cleaned.to_pylist() == [
        plain,
        row | {"question": None, "history": [{"role": "user", "content": ""}, {"role": "assistant", "content": "so"}]},
    ]
    assert counts_of(cleaned) == {
        "stripped:question": 1,
        "emptied:question": 1,
        "stripped:history": 2,
        "emptied:history": 1,
    }


MARKUP = (
    "<p> </p> <b > &lt; &amp; lt; <!-- --> ` ``` word ，头痛 https://x.org/ a@b.org [t]( ) Ã© <script> </script> &# "
    '60; class="a" = " < / \u200b \u200d \x00'
)
FRAGMENTS = st.sampled_from([*MARKUP.split(" "), "\n", " ", "\r", "\x85"])
TEXTS = st.lists(FRAGMENTS | st.text(max_size=4), max_size=14).map("".join)


@given(TEXTS)
@example("&amp;lt;p&amp;gt;")
def test_a_clean_text_stays_clean(text: str) -> None:
    once = strip_text(text)
    assert strip_text(once) == once


@given(TEXTS)
def test_the_gate_lets_no_text_pass_that_would_change(text: str) -> None:
    batch = pa.Table.from_pylist(
        [{"id": "a", "history": [], "question": text, "answer": None, "origin": "source"}], schema=RECORD_SCHEMA
    )
    expected = strip_text(text)
    assert StripMarkup().build(None)(batch)["question"].to_pylist() == [expected if expected or not text else None]


@given(st.lists(st.sampled_from(["<b>", "</i>", "<p>", "<br/>", "<td>", "</li>", "<span class='a'>"]), min_size=1))
def test_words_survive_between_any_tags(tags: list[str]) -> None:
    words = [f"word{number}" for number in range(len(tags) + 1)]
    text = words[0] + "".join(f" {tag} {word}" for tag, word in zip(tags, words[1:], strict=True))
    assert strip_text(text).split() == words
