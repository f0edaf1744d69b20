"""Tells whether a text speaks about markup, asks for it, or is code: then its tags are content.

Judges by words, English and Chinese, so it errs; where it is in doubt the text counts as speaking about markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from operators.texts.text import RECENT_TEXTS, folded, holds_any

_NEGATED = re.compile(
    r"\b(?:no|not|without|never|avoid|instead of|rather than|don['’]t|do not)(?: \w+){0,3} (?:html|xml|markup|tags?)\b"
    r"|(?:不要|不得|不用|禁止|避免|无需|不使用|不带)[^，。\n]{0,6}(?:html|xml|标签|标记)",
    re.IGNORECASE,
)
_NO_TAGS = re.compile(
    r"\b(?:price|name|dog|toy|skin|ear|license|luggage|hash|gift) ?tags?\b|^[^\w\n]{0,9}tags?\s{0,3}[:：]", re.I | re.M
)
_MARKUP = re.compile(
    r"\b(?:x?html[45]?|css[23]?|svg|xmlns|xml|xslt?|xpath|jsx|tsx|vue(?:\.?js|[23])?|react(?:\.?js| component| native)|"
    r"angular(?:\.?js| component)|svelte|markup|mathml|bbcode|tailwind|jquery|jinja2?|rss|atom feed|wikitext|ssml|"
    r"tags?|beautifulsoup|selenium|queryselector|innerhtml|stylesheets?|web ?component|web ?development|"
    r"front-?end|angle brackets?|doctype|iframes?|maven|gradle|ant build|"
    r"(?:closing|opening|void|block|inline) elements?|entit(?:y|ies) (?:for|of|in)|html entit\w+|"
    r"escape (?:sequences?|the|code|output|it)|(?:un)?escap(?:ed|ing) (?:characters?|html|text|output|strings?)|"
    r"ampersand|non-?breaking space|character references?|"
    r"placeholders?)\b"
    r"|(?:标签|标记语言|网页(?:代码|模板|制作|设计)|前端|实体字符|字符实体|转义|占位符|样式表|尖括号)"
    r"|(?<![A-Za-z])(?:html5?|css3?|xml|svg|vue|jsx|wxml)(?![A-Za-z])",
    re.IGNORECASE,
)
_WORDS_OF_MARKUP_TEXT = """
html css svg xml xsl xpath jsx tsx vue react angular svelte markup mathml bbcode tailwind jquery jinja rss atom
wikitext ssml tag soup selenium queryselector stylesheet component develop front bracket doctype iframe maven
gradle build element entit escap ampersand breaking reference placeholder 标签 标记 网页 前端 字符 转义 占位符
样式表 尖括号
"""
_WORDS_OF_MARKUP = tuple(_WORDS_OF_MARKUP_TEXT.split())
"""Of which one is in any text with a match of `_MARKUP`."""
_MAKE = (
    r"\b(?:write|create|make|build|design|draw|generate|implement|code|convert|develop|produce|render|give me|show me|"
    r"show|add|embed|embedded|insert|need|want|style|center|centre|align)\b"
)
_THING = (
    r"\b(?:web ?pages?|web ?sites?|landing pages?|home ?pages?|page layout|web ?forms?|(?:login|sign-?up|contact|order|"
    r"feedback|registration) (?:form|page)s?|"
    r"forms? with|forms? for|buttons?|icons?|logos?|banners?|nav(?:igation)? ?bars?|"
    r"navigation|nav menus?|menu bars?|dropdowns?|drop-down|modals?|sliders?|carousels?|galler(?:y|ies)|widgets?|"
    r"components?|cards? component|footers?|headers?|hero section|snippets?|templates?|newsletters?|"
    r"check ?boxes|text ?boxes|input fields?|progress bars?|charts?|vector (?:graphic|image)s?|ui|user interface|"
    r"progressive web app|(?:red|blue|green|yellow|black|white|orange) (?:circle|square|rectangle|triangle|star|heart)|"
    r"paragraph|bold|italics?|underlined?|strike-?through|(?:super|sub)scripts?|hyperlinks?|"
    r"video player|videos? (?:in|on|into|with)|(?:two|three|four)-column|sitemap|feed item)\b"
)
_ASKS = (
    (re.compile(_MAKE, re.IGNORECASE), re.compile(_THING, re.IGNORECASE)),
    (
        re.compile(r"写|做|给我|让|把|创建|生成|设计|画|制作|实现|给出|开发|搭建|添加|嵌入"),
        re.compile(
            r"网页|页面|网站|按钮|表单|组件|图标|导航|菜单栏|弹窗|轮播|模板|代码|矢量图|圆形|矩形|进度条|登录页|段落|加粗|斜体|标题"
        ),
    ),
)
"""Verbs, and what they ask for in the same sentence."""
_WORDS_OF_THINGS_TEXT = """
page site form button icon logo banner nav menu dropdown drop-down modal slider carousel galler widget component
footer header hero snippet template newsletter box input bar chart vector interface circle square rectangle
triangle star heart paragraph bold italic underline strike script hyperlink video column sitemap feed
progressive 网 页面 按钮 表单 组件 图标 导航 菜单栏 弹窗 轮播 模板 代码 矢量图 圆形 矩形 进度条 登录页 段落 加粗
斜体 标题
"""
_WORDS_OF_THINGS = tuple(_WORDS_OF_THINGS_TEXT.split())
_UI = re.compile(r"ui\b")
"""The words, and a pattern, of which one is in any text that asks."""
_SENTENCE = re.compile(r"[^.!?。！？\n]+")
_MAX_TALK = 3_000
"""Of a long text the beginning and the end are read: there a request stands."""

_CODE_SIGN = re.compile(
    r"className=|<\?php|<%|#\s*include\s*<|=>\s*[({<]|\bv-(?:if|for|bind|on|model|show)\b|\s@click|\{\{|\{%|\s\*ng[A-Z]|"
    r"\bon[A-Z][a-z]+=\{|std::|System\.out|console\.log|document\.\w|\.innerHTML|\bdef \w+\(|\bfunction\s+\w+\s*\(|"
    r"\bfunction\s*\(|^import [\w{*]|\breturn\s*\(\s*<|^[ \t]*#!|^diff --git|^@@ |\bprintf?\(|\becho\s+[\"'<$]|"
    r"\b(?:List|Set|Map|Optional|vector|Array|Promise|Option|Vec|Box)<\w",
    re.MULTILINE,
)
_WORDS_OF_CODE = (
    "def|class|import|from|return|const|let|var|function|public|private|protected|static|package|using|namespace|struct|"
    "enum|interface|type|fn|func|if|for|while|switch|else|elif|try|catch|except|end|echo|print|select|insert|create|"
    "update|delete|where|join|with|do|case|default|module|require|include|use|impl|match|val|object|void|int|string|bool"
)
_CODE_LINE = re.compile(
    rf"(?:(?:{_WORDS_OF_CODE}|{_WORDS_OF_CODE.upper()})\b.*[;:{{(\[,)]|.*[;{{}}]|[)}}\]]+[;,]?|//.*|/\*.*|\*/|#\s?\w.*|"
    r"\$ .*|[\w.$\[\]\"']+\s*(?:[+*/|-]?=|:=|<-)\s*\S.*|@\w[\w.]*(?:\(.*\))?|\w[\w.:]*\(.*\)[;:]?|[+-]\s?<.*)\Z"
)
"""A capital begins a sentence (`Try this:`), not a keyword."""
_CODE_LINE_STARTS, _CODE_LINE_ENDS = "/*#$@+-", ";:{}()[],"
"""Any line with a match of `_CODE_LINE` begins or ends with one of them, or assigns something."""
_MAX_CODE = 40_000
"""Characters that are looked at."""
_MAX_LINE = 300
_MAX_LINES = 400
MIN_CODE_FRAC = 0.5
_SIGNS_OF_CODE: Mapping[str, Sequence[str]] = {
    "=": ("className=", "=>", "={"),
    "v-": ("v-if", "v-for", "v-bind", "v-on", "v-model", "v-show"),
    "@": ("@click", "@@ "),
    "{": ("{{", "{%"),
    "*": ("*ng",),
    "#": ("#!",),
    "(": ("print(", "printf("),
    "": ("std::", "System.out", "console.log", "document.", ".innerHTML", "diff --git", "echo"),
    "<": (
        *("<?php", "<%", "List<", "Set<", "Map<", "Optional<", "vector<", "Array<", "Promise<", "Option<"),
        *("Vec<", "Box<"),
    ),
}
"""By what all of a line have in common, which is looked for before them."""
_PAIRS_OF_CODE = (("def ", "("), ("function", "("), ("return", "<"), ("include", "#"))
"""A sign, or both signs of a pair, are in any text with a match of `_CODE_SIGN`, or a line of it begins with import."""


@lru_cache(maxsize=RECENT_TEXTS)
def speaks_of_markup(text: str) -> bool:
    """Whether a text without its own tags names markup, or asks for something that is written in it."""
    if len(text) > 2 * _MAX_TALK:
        text = f"{text[:_MAX_TALK]}\n{text[-_MAX_TALK:]}"
    words = folded(text)
    may_name = holds_any(words, _WORDS_OF_MARKUP)
    may_ask = holds_any(words, _WORDS_OF_THINGS) or _UI.search(words) is not None
    if not may_name and not may_ask:
        return False
    told = _NO_TAGS.sub(" ", _NEGATED.sub(" ", text)) if may_name else text
    if may_name and _MARKUP.search(told):
        return True
    return may_ask and any(_asks(sentence.group()) for sentence in _SENTENCE.finditer(told))


def _asks(sentence: str) -> bool:
    for verb, thing in _ASKS:
        asked = verb.search(sentence)
        if asked and thing.search(sentence, asked.end()):
            return True
    return False


def is_code(text: str) -> bool:
    """Whether a text, from which the scripts of a page are taken, is a program, a diff, or data in JSON."""
    text = text[:_MAX_CODE]
    if _may_hold_code(text) and _CODE_SIGN.search(text):
        return True
    bare = text.strip()
    if bare[:1] + bare[-1:] in ("{}", "[]"):
        return True
    lines = [line.strip()[:_MAX_LINE] for line in text.splitlines()[:_MAX_LINES] if line.strip()]
    return sum(1 for line in lines if _is_code_line(line)) >= max(1, MIN_CODE_FRAC * len(lines))


def _is_code_line(line: str) -> bool:
    may_be = line[-1] in _CODE_LINE_ENDS or line[0] in _CODE_LINE_STARTS or "=" in line or "<-" in line
    return may_be and _CODE_LINE.match(line) is not None


def _may_hold_code(text: str) -> bool:
    if (
        any(common in text and holds_any(text, signs) for common, signs in _SIGNS_OF_CODE.items())
        or text.startswith("import ")
        or "\nimport " in text
    ):
        return True
    return any(sign in text and other in text for sign, other in _PAIRS_OF_CODE)
