"""`strip_markup` takes scraped markup and damage out, and nothing else."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.contract.resources import Resources
from operators.markup.elements import COMMON_VOID, ELEMENTS
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS
from operators.strip_markup import StripMarkup, strip_text

KEPT = [
    "a < b",
    "x<5 and y>3",
    "if a<b and c>d then stop",
    "If a<b>c, the middle value is the largest; p<q>r; x1<x2",
    "正常血压应为收缩压<140 mmHg，舒张压<90 mmHg。",
    "Version 1.2.3.4 of the guideline: 0.5 mg, then 2.5-5 mg b.i.d.",
    "头痛，怎么办？“多喝水”，（休息）！Ａ１：①",
    "First paragraph.\n\nSecond paragraph.  \nA line.\n\n\n\nThird.",
    "```html\n<p>keep &amp; this</p>\n```",
    "~~~\n<p>keep &amp; this</p>\n~~~",
    "As follows:\n\n    <div class='a'>\n        <b>x</b>\n    </div>\n\nThat is all.",
    "| step | what |\n|---|---|\n| 1 | wash<br>dry |",
    "Use `<script>` and `a@b.org` as they are.",
    "Use <script> to embed. Close with </script>.",
    "Wrap it in <b> and </b>, then reload.",
    'if (a <b x="3" and c> d) then',
    "Only <em/> and <code/> are allowed. What is <br>?",
    "a <open door> b, <required> c, <default> d; the <details open> element, <code>...</code>",
    "  --plugin <p> - load the plugin\n  -n <p>",
    "Put the answer inside <output></output>.",
    "How do I center a <div> in CSS?",
    "The <b> tag is for bold text, as in <b>this</b>.",
    "List<String> names; vector<int> v; Set<Code> s; <think>so</think> <your-name>",
    "List<Object> rows = new ArrayList<>();",
    "#include <map>\n#include <string>\nstd::map<int, B> m;",
    "cp <source> <dest>",
    "docker run -v <path>:/data image",
    "First I think.\n</think>\n\nThe answer is 4.",
    "It is late.</reasoning> Go home.</answer>",
    "<thought>hm</thought><answer>4</answer>",
    '<invoke name="f"><parameter name="city">Paris</parameter></invoke>',
    '<plan><step id="1">Walk.</step><step id="2">Eat.</step></plan>',
    '<tool_call>\n{"name": "f", "arguments": {"html": "<p class=\'a\'>x</p>"}}\n</tool_call>',
    "<image>What is this? <video> <audio> <|image|>",
    "<summary>All is well.</summary>\n<title>News</title>",
    "<article>\nText to sum up.\n</article>\n<context>More.</context>",
    "Write &lt;p&gt; instead of <p>, and &amp;lt; for &lt;.",
    "What is &nbsp; for?",
    "<pre><code>&lt;div&gt;</code></pre>",
    '<button @click="n++">{{ n }}</button>\n<script setup>\nconst n = ref(0);\n</script>',
    '<svg viewBox="0 0 9 9"><circle cx="5" cy="5" r="4"/></svg>',
    '<form action="/send"><input name="q" type="text"><button>Go</button></form>',
    'el.innerHTML = "<p class=\'a\'>" + text + "</p>";',
    "{'u':'https://a.org','k':5}",
    "git clone git@host:me/r.git",
    'create_engine("postgresql://me:pw@db/x")',
    "http://www.测试.com/a",
    "https://a.org",
    "desk@example.org",
    "GET https://api/v1/{id}?x={y}",
    "[![b](u)](u) and [the guide](https://x.org/g) ![figure](f.png)",
    "You find it at https://www.who.int/item/97 (PDF, 61 pages).",
    "AT&T, R&D, a && b, &c; x &copy y",
    "M&Ms cost 5€ – café, naïve, Größe, 10³ µg",
    "👩‍⚕️ 🐈‍⬛ 🙂‍↔️ میخواهم",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f and "
    "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "ភាសា\u200bខ្មែរ",
    "പേരില്\u200d ഒരു ফাইলটি ত্\u200d, لایه\u200cن و وێنه\u200c ه\u200d\u200cی.",
    "點擊\n鏈結\n閱檔",
    "שלום\u200f! abc\u200e",
    "Why do I see â€™ instead of an apostrophe? The encoding is wrong: UTF-8 was read as cp1252.",
    "@property and #define and me@home",
    "Node.js and 3.14.",
    "\tindented\n    more",
    "    return x\nas before",
]


@pytest.mark.parametrize("text", KEPT)
def test_a_text_without_scraped_markup_is_left_byte_for_byte(text: str) -> None:
    assert strip_text(text) == text


@pytest.mark.parametrize(
    ("damaged", "clean"),
    [
        ("<p>Hello &amp; <b>goodbye</b></p><p>Two</p>", "Hello & goodbye\n\nTwo"),
        ("<DIV class='x' data-a=1 hidden>text</DIV >", "text"),
        ("one<br/>two<BR>three", "one\ntwo\nthree"),
        ("Rest well. <br> Drink water.", "Rest well.\nDrink water."),
        ("One ends.<p>Two ends.<p>Three ends.", "One ends.\n\nTwo ends.\n\nThree ends."),
        ("<ul><li>a</li>\n<li>b</li></ul>", "a\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("The dose is <b>5 mg</b>, a <i>b</i> < c", "The dose is 5 mg, a b < c"),
        ("    <b>x</b> with an indent", "    x with an indent"),
        ("hi<script>if (a<b) { alert('x') }</script> there<!-- secret -->", "hi there"),
        ("&lt;p&gt;Fed &amp;amp; stored.&lt;/p&gt;", "Fed & stored."),
        ("头痛&nbsp;怎么办&#65311;&#x3002;", "头痛 怎么办？。"),
        ("Paris is it.</p>\n<p>It is old.</p>\n</div>\n</div>", "Paris is it.\n\nIt is old."),
        ("<p>Rest.</p><p>Sleep.</p><script>var a = 1;", "Rest.\n\nSleep."),
        ("The end is cut: <a href='x", "The end is cut:"),
        ("<p>Word <o:p></o:p></p><p class=MsoNormal>says</p>", "Word\n\nsays"),
        ("zero\u200bwidth\ufeff and \x00control\x07 \x1b[31mred\x1b[0m", "zerowidth and control red"),
        ("page\x0cbreak, hi\u200e you", "page\nbreak, hi you"),
        ("line\r\nline", "line\nline"),
        ("Itâ€™s a cafÃ©", "It’s a café"),
        ("头痛，怎么办？许多".encode().decode("latin-1"), "头痛，怎么办？许多"),
        ("你好，头痛".encode().decode("gb18030", "replace"), "你好，头"),
        ("浣犲ソ", "你好"),
        ("អ្នក\u200b\u200b\u200bស្នើ \u200b, پوشه\u200c\u200cی ab\u200cc", "អ្នក\u200bស្នើ , پوشه\u200cی abc"),
        ("<p>a</p>\n```\n<b>\n\n\n\n</b>\n```\n<p>c</p>", "a\n\n```\n<b>\n\n\n\n</b>\n```\n\nc"),
        ("150 &times; 10<sup>9</sup>/L", "150 × 10^9/L"),
        ("2<sup>1</sup>/<sub>2</sub> mg", "2 1/2 mg"),
        ("H<sub>2</sub>O, x<sub>i</sub>, Ca<sup>2+</sup>, 10<sup>-3</sup>", "H2O, x_i, Ca^2+, 10^-3"),
        ("log<sub>2</sub>8, 5<sup>2x</sup>y", "log_(2)8, 5^(2x)y"),
        ("the 1<sup>st</sup> study<sup>[3]</sup>", "the 1st study[3]"),
        ("Take <del>50</del> <ins>5</ins> mg", "Take ~~50~~ 5 mg"),
        (
            "<p>As here:</p><pre><code>&lt;b&gt;\n  x\n&lt;/b&gt;</code></pre><p class='a'>So.</p>",
            "As here:\n\n```\n<b>\n  x\n</b>\n```\n\nSo.",
        ),
        ("<p>A <code>&lt;br&gt;</code> there.</p>", "A `<br>` there."),
        ("<p>Call <code>console.log(x)</code> then.</p><p>It prints.</p>", "Call console.log(x) then.\n\nIt prints."),
        (
            "<p>Try this:</p>\n\n<pre><code>int x = 5;\nint y = x;\n</code></pre>\n\n<p>It runs.</p>",
            "Try this:\n\n```\nint x = 5;\nint y = x;\n```\n\nIt runs.",
        ),
        (
            "<p>Say:</p><pre>a = 1\n<button class='copy'>copy</button></pre><pre><code> </code></pre><p>So go on.</p>",
            "Say:\n\na = 1\n\nSo go on.",
        ),
        ("Roses are red, <br />\nviolets <br>are <br> blue.", "Roses are red,\nviolets\nare\nblue."),
        ("Watch <iframe src='https://x.org/embed/1' frameborder=0 allowfullscreen></iframe> now.", "Watch now."),
        ("<div data-v-7ba5 class='x'><p itemscope>Hello there.</p></div>", "Hello there."),
        ("<p>Press <kbd>↑</kbd> or <code>$</code>.</p><p>So <kbd>F1</kbd>.</p>", "Press ↑ or $.\n\nSo F1."),
        ("<p>See <a href='x' title='say 'hi''>this</a> page.</p><br/ ><p>Other.</p>", "See this page.\n\nOther."),
        ("<p>Heading<br>\n~~~~~~~<br>\nwords</p><p>More.</p>", "Heading\n~~~~~~~\nwords\n\nMore."),
        ("one<br />\ntwo<br>\n<br>\nthree<br><br>four", "one\ntwo\n\nthree\n\nfour"),
        (
            "<nav><a href='/'>Home</a> <a href='/b'>Blog</a></nav><div class='post'><p>Rest.</p></div>"
            "<div class='share-buttons'>Share</div><footer>Imprint</footer>",
            "Rest.",
        ),
        ("<p>Rest.</p><p>Share this: Facebook | Twitter</p><p>Copyright © 2020 x.org</p>", "Rest."),
        ("<p>多喝水。</p>\n<p>版权所有 © 2020</p>\n<p>分享到：微信 微博</p>", "多喝水。"),
        ("Drink water. Visit our site www.example.com for more!", "Drink water."),
        ("Read more at https://x.org/1\nDrink water.", "Drink water."),
        ("多喝水。更多信息请点击 http://a.com/b 查看。", "多喝水。"),
    ],
)
def test_markup_and_damage_are_removed(damaged: str, clean: str) -> None:
    assert strip_text(damaged) == clean


def test_links_and_furniture_with_links_stay_when_they_are_wanted() -> None:
    text = "Drink water. Visit our site www.example.com for more!"
    assert strip_text(text, links=False) == text
    assert rows_of(("Which website is yours?", text)) == [("Which website is yours?", text)]


def test_all_tags_go_where_the_data_is_known_to_be_scraped_and_none_where_it_is_not() -> None:
    text = "Wrap it in <b> and </b>."
    assert strip_text(text, tags="all") == "Wrap it in and ."
    assert strip_text("<p>a &amp; b</p><p>c</p>", tags="none") == "<p>a &amp; b</p><p>c</p>"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Write a page in HTML with one paragraph.", "<p>Hello there, this is a paragraph.</p>"),
        ("Create a navigation bar.", '<nav class="main"><a href="/a">A</a><a href="/b">B</a></nav>'),
        ("写一个登录页面", '<div class="login"><p>请输入用户名和密码。</p></div>'),
        ("How do I center a <div>?", '<div style="margin: auto">Give it a width first.</div>'),
        ("Mark the change of the dose with del and ins tags.", "Take <del>50</del> <ins>5</ins> mg."),
        ("What is &amp; in a URL?", "Write a=1&amp;b=2 there."),
        ("Make this bold: hello", "<b>hello</b>"),
        ("Which payload shows the fault?", "<script>alert('XSS')</script>"),
        ("Embed the film", '<iframe width="560" src="https://x.org/embed/x"></iframe>'),
        ("给我一个红色段落", '<p style="color:red">红色段落。</p>'),
        ("Change it", "-<p>old</p>\n+<p>new</p>"),
        ("Write an advertisement.", "Great shoes. Visit our website www.shoes.com today!"),
        ("Fix: <p>Hi <b>you</p>", "You forgot to close the <b> tag: <p>Hi <b>you</b></p>"),
    ],
)
def test_markup_that_the_row_speaks_of_or_asks_for_stays(question: str, answer: str) -> None:
    assert rows_of((question, answer)) == [(question, answer)]


def test_a_scraped_question_does_not_protect_a_scraped_answer() -> None:
    assert rows_of(("<p>How are you?</p>", "<p>Fine.</p><p>And you?</p>")) == [("How are you?", "Fine.\n\nAnd you?")]


def test_a_page_that_asks_for_markup_gets_it_escaped_in_a_page() -> None:
    question = "<p>How can I center a <code>div</code>?</p><p>In CSS.</p>"
    answer = "<p>So:</p><pre><code>&lt;div style='margin: 0 auto'&gt;</code></pre><p>It works.</p>"
    shown = "So:\n\n```\n<div style='margin: 0 auto'>\n```\n\nIt works."
    asked = "How can I center a div?\n\nIn CSS."
    assert rows_of((question, answer), (question, "<div>so</div><p>or so</p>"), (asked, answer)) == [
        (asked, shown),
        (asked, "<div>so</div><p>or so</p>"),
        (asked, answer),
    ]


def rows_of(*pairs: tuple[str | None, str | None]) -> list[tuple[str | None, str | None]]:
    rows: list[dict[str, object]] = [
        {"id": f"{number}", "history": [], "question": question, "answer": answer, "origin": "source"}
        for number, (question, answer) in enumerate(pairs)
    ]
    cleaned = StripMarkup().build(Resources())(pa.Table.from_pylist(rows, schema=RECORD_SCHEMA))
    return list(zip(cleaned.table["question"].to_pylist(), cleaned.table["answer"].to_pylist(), strict=True))


def test_a_field_that_is_emptied_becomes_null_and_a_turn_stays() -> None:
    row = {
        "id": "a",
        "history": [{"role": "user", "content": "<p></p>"}, {"role": "assistant", "content": "<b>so</b>"}],
        "question": "<p> </p>",
        "answer": None,
        "origin": "source",
    }
    plain = {"id": "b", "history": None, "question": "", "answer": "fine", "origin": "source"}
    batch = pa.Table.from_pylist([plain, row], schema=RECORD_SCHEMA)
    cleaned = StripMarkup().build(Resources())(batch)
    assert cleaned.table.to_pylist() == [
        plain,
        row | {"question": None, "history": [{"role": "user", "content": ""}, {"role": "assistant", "content": "so"}]},
    ]
    assert cleaned.counts == {
        "stripped:question": 1,
        "emptied:question": 1,
        "stripped:history": 2,
        "emptied:history": 1,
        "removed:page": 2,
        "removed:inline": 1,
    }


def test_counts_say_why_tags_went_and_why_they_stayed() -> None:
    pairs = [
        ("q", "<p>a</p>\n<p>b</p>"),
        ("q", "x &amp; y"),
        ("Which tag?", "<b>"),
        ("q", "<a><x></x></a>"),
        ("q", "in <b> and </b>"),
    ]
    rows = [
        {"id": f"{number}", "history": [], "question": question, "answer": answer, "origin": "source"}
        for number, (question, answer) in enumerate(pairs)
    ]
    counts = StripMarkup().build(Resources())(pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)).counts
    assert counts == {
        "stripped:answer": 2,
        "removed:page": 1,
        "removed:entities": 1,
        "left:asked_for": 1,
        "left:other_tags": 1,
        "left:spoken_of": 1,
    }


def test_turns_of_systems_and_tools_and_turns_that_hold_calls_are_never_touched() -> None:
    scraped = "<p>Hello there.</p><p>Call https://x.org or a@b.org</p>"
    schema = RECORD_SCHEMA.set(RECORD_SCHEMA.get_field_index("history"), pa.field("history", pa.list_(TURN_WITH_KEYS)))
    turns: list[dict[str, str | None]] = [
        {"role": "system", "content": scraped, "extra": None},
        {"role": "tool", "content": scraped, "extra": '{"tool_call_id": "1"}'},
        {"role": "observation", "content": scraped, "extra": None},
        {"role": "function_call", "content": '{"url":"https://x.org","to":"<b>x</b>"}', "extra": None},
        {"role": "assistant", "content": scraped, "extra": '{"tool_calls": []}'},
        {"role": "assistant", "content": scraped, "extra": '{"name": "x"}'},
        {"role": "user", "content": None, "extra": None},
        {"role": "assistant", "content": None, "extra": '{"tool_calls": []}'},
    ]
    row = {"id": "a", "history": turns, "question": scraped, "answer": scraped, "origin": "source"}
    cleaned = StripMarkup().build(Resources())(pa.Table.from_pylist([row], schema=schema)).table.to_pylist()[0]
    bare = "Hello there.\n\nCall https://x.org or a@b.org"
    turns[5]["content"] = bare
    assert cleaned == row | {"history": turns, "question": bare}


MARKUP = (
    "<p> </p> <b > &lt; &amp; lt; <!-- --> ` ``` word ，头痛 https://x.org/ a@b.org [t]( ) Ã© <script> </script> &# "
    '60; class="a" = " < / \u200b \u200d \x00 <div <a href="u">x</a> </div> <sup>2</sup> <del> . Visit our site'
)
FRAGMENTS = st.sampled_from([*MARKUP.split(" "), "\n", " ", "\r", "\x85", "read more at https://x.org"])
TEXTS = st.lists(FRAGMENTS | st.text(max_size=4), max_size=14).map("".join)


@given(TEXTS)
@example("&amp;lt;p&amp;gt;")
@example("<p>&lt;b&gt;x&lt;/b&gt;</p><p>&amp;amp;lt;</p>")
def test_a_clean_text_stays_clean(text: str) -> None:
    once = strip_text(text)
    assert strip_text(once) == once


@given(TEXTS, TEXTS)
def test_a_clean_row_stays_clean_and_the_gate_lets_no_row_pass_that_would_change(question: str, answer: str) -> None:
    once = rows_of((question or None, answer or None))
    assert rows_of(*once) == once


@given(TEXTS)
def test_the_gate_lets_no_text_pass_that_would_change(text: str) -> None:
    expected = strip_text(text)
    assert rows_of((text, None)) == [(expected if expected or not text else None, None)]


@given(st.lists(st.sampled_from(["<b>", "</i>", "<p>", "<br/>", "<td>", "</li>", "<span class='a'>"]), min_size=1))
def test_words_survive_between_any_tags(tags: list[str]) -> None:
    words = [f"word{number}" for number in range(len(tags) + 1)]
    text = words[0] + "".join(f" {tag} {word}" for tag, word in zip(tags, words[1:], strict=True))
    assert [word for word in strip_text(text).split() if "word" in word] == words


@pytest.mark.parametrize("attributes", ["", " class='x'", " src=a.png", " href='/a'", " id=a", " foo=bar"])
@pytest.mark.parametrize("frame", ["{}Words after it.", "Words before: {}", "<b>Words</b>.\n{}\nWords after it."])
@pytest.mark.parametrize("inner", ["", "x", "some words"])
def test_of_a_pair_of_tags_goes_both_or_none(frame: str, attributes: str, inner: str) -> None:
    for name in ELEMENTS - COMMON_VOID:
        text = frame.format(f"<{name}{attributes}>{inner}</{name}>")
        stripped = strip_text(text)
        assert (f"<{name}" in stripped) == (f"</{name}>" in stripped), text


@pytest.mark.parametrize("tag", ["<img src=a.png>", "<iframe src=a></iframe>", "<button class=b></button>", "<br>"])
def test_no_space_is_left_where_a_tag_began_or_ended_a_text(tag: str) -> None:
    assert strip_text(f"{tag} Two cats.") == strip_text(f"Two cats. {tag}") == "Two cats."
