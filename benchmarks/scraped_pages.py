"""Texts as scrapers leave them: real sentences with planted markup, and what exactly was planted.

Sentences are the English and Chinese conversations of the package chatterbot-corpus and some of our own, without any
markup of their own. Eleven kinds of page: articles, forum posts, lists, tables, line breaks, office paragraphs, feeds
that are escaped once more, emphasis with links, cut pages, misread encodings, invisible characters.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from benchmarks.text_rows import corpus_pairs

LANGUAGES = ("english", "chinese")
_DOMAINS = {
    "english": ("emotion", "food", "gossip", "history", "literature", "movies", "politics", "psychology", "science"),
    "chinese": ("ai", "botprofile", "food", "history", "literature", "movies", "psychology", "science", "sports"),
}
_OWN = {
    "english": (
        "Drink enough water and rest for two days before you go back to work.",
        "The train from Bern leaves at 7:32 and arrives in Zurich an hour later.",
        "Take 5 mg in the evening if your blood pressure stays above 140/90 mmHg.",
        "A child under 3 years should not be given whole nuts, even at a party.",
        "The bridge was closed in 1987 because its cables had rusted through.",
        "Water the tomatoes early, at R&D gardens they do so at 6 am.",
    ),
    "chinese": (
        "每天喝足够的水，注意休息，三天后再复查。",
        "血压高于140/90 mmHg时，应在医生指导下服药。",
        "火车七点三十二分出发，大约一个小时后到达。",
        "三岁以下的孩子不要吃整颗的坚果。",
        "这座桥因为钢索生锈，在1987年关闭。",
        "番茄最好在早上浇水，中午浇水容易伤根。",
    ),
}
_FURNITURE = {
    "english": (
        "Home » Articles » Health",
        "Home | About us | Contact | Login",
        "Share this: Facebook | Twitter | WhatsApp",
        "Share on Facebook",
        "We use cookies to improve your experience.",
        "Copyright © 2023 {site}. All rights reserved.",
        "Posted by maria{number} on 12/03/2021 · {number} views",
        "Last updated: {number} March 2020",
        "Read more: https://{site}/a/{number}?utm_source=feed",
        "Visit our website www.{site} for more tips!",
        "Subscribe to our newsletter: news@{site}",
        "Click here to see all answers",
        "Related articles: Ten ways to sleep better",
        "Leave a comment",
        "{number} comments",
        "Advertisement",
        "Filed under: Health, Living",
        "Back to top",
    ),
    "chinese": (
        "首页 > 健康 > 正文",
        "登录 | 注册 | 收藏本站",
        "分享到：微信 微博 QQ空间",
        "版权所有 © 2023 {site}",
        "点击查看更多：http://{site}/a/{number}",
        "更多精彩内容请访问 www.{site}",
        "欢迎关注我们的微信公众号",
        "阅读全文",
        "上一篇：如何睡得更好",
        "相关阅读：睡眠的十个误区",
        "发布时间：2021-03-12",
        "浏览次数：{number}",
        "转载请注明出处",
        "责任编辑：王芳",
        "扫描二维码关注我们",
        "返回顶部",
    ),
}
_SITES = ("answers-daily.example", "helpdesk.example", "open-forum.example", "jiankang.example")
_CLASSES = ("post-body", "entry-content", "answer js-answer", "content", "MsoNormal", "td_block_inner", "text-lg")
_HIDDEN = (
    "<script>window.dataLayer=window.dataLayer||[];gtag('config','G-{number}');</script>",
    '<script type="text/javascript" src="//cdn.{site}/t.js"></script>',
    '<style type="text/css">.p{number}{{margin:0 4px;color:#333}}</style>',
    "<!-- ad slot {number} -->",
    '<img src="https://{site}/px/{number}.gif" width="1" height="1" alt="">',
)
_INVISIBLE = ("\u200b", "\ufeff", "\u00ad", "\u200e", "\x07")
_SIGN = re.compile(r"[<>`]|https?://|www\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapedPage:
    """A text, the pieces that were planted in it, and the sentences that it is about, in order."""

    kind: str
    language: str
    text: str
    planted: tuple[str, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """Writes one page and keeps account of what it plants."""

    rng: Random
    language: str
    planted: list[str] = field(default_factory=list)

    def plant(self, piece: str) -> str:
        self.planted.append(piece)
        return piece

    def wrap(self, name: str, inner: str, attributes: str = "") -> str:
        return f"{self.plant(f'<{name}{attributes}>')}{inner}{self.plant(f'</{name}>')}"

    def hidden(self) -> str:
        return self.plant(self.filled(self.rng.choice(_HIDDEN)))

    def furniture(self) -> str:
        return self.plant(self.filled(self.rng.choice(_FURNITURE[self.language])))

    def filled(self, template: str) -> str:
        return template.format(site=self.rng.choice(_SITES), number=self.rng.randint(11, 9_876))

    def escaped(self, sentence: str) -> str:
        """The sentence with entities, each of which is planted."""
        text = html.escape(sentence)
        if self.language == "english" and self.rng.random() < 0.5:
            text = text.replace(" ", "&nbsp;", self.rng.randint(1, 2))
        self.planted.extend(set(re.findall(r"&[#\w]+;", text)))
        return text

    def attributes(self) -> str:
        name = self.rng.choice(_CLASSES)
        return self.rng.choice((f' class="{name}"', f" class='{name}' id=c{self.rng.randint(1, 999)}", ' align="left"'))


PageFn = Callable[[_Maker, Sequence[str]], str]


def _article(page: _Maker, sentences: Sequence[str]) -> str:
    body = "\n".join(page.wrap("p", page.escaped(one)) for one in sentences)
    nav = page.wrap("nav", page.wrap("a", page.furniture(), ' href="/"'))
    foot = page.wrap("footer", page.wrap("p", page.furniture()))
    return f"{nav}\n{page.wrap('article', body, page.attributes())}\n{page.hidden()}\n{foot}"


def _forum_post(page: _Maker, sentences: Sequence[str]) -> str:
    inner = page.wrap("span", page.escaped(sentences[0]), ' style="font-size:13px"')
    rest = "".join(page.wrap("p", page.escaped(one)) for one in sentences[1:])
    stray = page.plant("</div>") if page.rng.random() < 0.4 else ""
    return f"{page.furniture()}\n{page.wrap('div', inner + rest, page.attributes())}{stray}\n{page.furniture()}"


def _list(page: _Maker, sentences: Sequence[str]) -> str:
    item, outer = page.rng.choice((("li", "ul"), ("li", "ol"), ("dd", "dl")))
    items = "\n".join(f"  {page.wrap(item, page.escaped(one))}" for one in sentences)
    return f"{page.wrap(outer, items)}\n{page.furniture()}"


def _table(page: _Maker, sentences: Sequence[str]) -> str:
    rows = "".join(page.wrap("tr", page.wrap("td", page.escaped(one), ' valign="top"')) for one in sentences)
    table = page.wrap("table", rows, ' width="100%" border=0')
    return f"{page.hidden()}\n{table}\n{page.furniture()}"


def _line_breaks(page: _Maker, sentences: Sequence[str]) -> str:
    br = page.rng.choice(("<br>", "<br/>", "<br />", "<BR>"))
    page.planted.extend([br] * len(sentences))
    lines = page.rng.choice((br, f"{br}\n", br + br)).join(page.escaped(one) for one in sentences)
    return f"{lines}{br}\n{page.furniture()}\n{page.furniture()}"


def _office(page: _Maker, sentences: Sequence[str]) -> str:
    return "\n".join(
        page.wrap("p", page.escaped(one) + page.wrap("o:p", ""), ' class=MsoNormal style="margin:0cm"')
        for one in sentences
    )


def _feed(page: _Maker, sentences: Sequence[str]) -> str:
    inner = "".join(f"<p>{html.escape(one)}</p>" for one in sentences)
    page.planted.extend(["&lt;p&gt;", "&lt;/p&gt;", "<p>", "</p>"])
    return html.escape(inner, quote=False)


def _emphasis(page: _Maker, sentences: Sequence[str]) -> str:
    parts = []
    for number, one in enumerate(sentences):
        words = one.split(" ")
        at = page.rng.randrange(len(words))
        if number % 2:
            words[at] = page.wrap(page.rng.choice(("b", "strong", "em", "i", "u")), words[at])
        else:
            href = page.filled(' href="https://{site}/tag/{number}" rel="nofollow"')
            words[at] = page.wrap("a", words[at], href)
        parts.append(" ".join(words))
    return f"{page.hidden()}\n{' '.join(parts)}\n{page.furniture()}"


def _cut(page: _Maker, sentences: Sequence[str]) -> str:
    body = "".join(page.wrap("p", page.escaped(one)) for one in sentences)
    tail = page.rng.choice(('<a href="https://x.exam', "<div class='rel", "</di", "<span sty"))
    return f"{page.plant(f'<div{page.attributes()}>')}{body}{page.plant(tail)}"


def _misread(page: _Maker, sentences: Sequence[str]) -> str:
    whole = " ".join(f"“{one}”" for one in sentences)
    damaged = whole.encode("utf-8").decode("latin-1")
    page.planted.extend(sorted(set(re.findall(r"[\x80-\xff]{2,}", damaged))))
    return page.wrap("p", damaged)


def _invisible(page: _Maker, sentences: Sequence[str]) -> str:
    marked = " ".join(one + page.plant(page.rng.choice(_INVISIBLE)) for one in sentences)
    return f"{page.wrap('div', marked, page.attributes())}\n{page.furniture()}"


KINDS: tuple[PageFn, ...] = (
    *(_article, _forum_post, _list, _table, _line_breaks, _office, _feed, _emphasis, _cut, _misread, _invisible),
)


def scraped_pages(count: int, *, seed: int = 0) -> list[ScrapedPage]:
    """So many pages, of all kinds in turn, half of them Chinese."""
    sentences = {language: _sentences(language) for language in LANGUAGES}
    return [_page(number, Random(f"{seed}/{number}"), sentences) for number in range(count)]


def _page(number: int, rng: Random, sentences: dict[str, list[str]]) -> ScrapedPage:
    language = LANGUAGES[number // len(KINDS) % 2]
    kind = KINDS[number % len(KINDS)]
    chosen = rng.sample(sentences[language], rng.randint(3, 6))
    page = _Maker(rng=rng, language=language)
    text = kind(page, chosen)
    name = kind.__name__.strip("_")
    return ScrapedPage(kind=name, language=language, text=text, planted=tuple(page.planted), sentences=tuple(chosen))


def _sentences(language: str) -> list[str]:
    pairs = corpus_pairs(_DOMAINS[language], language=language)
    found = [answer.strip() for _, answer in pairs if 8 <= len(answer) <= 300 and not _SIGN.search(answer)]
    return sorted({*found, *_OWN[language]})


def is_removed(piece: str, cleaned: str) -> bool:
    """Whether a planted piece is gone."""
    return piece not in cleaned


def is_kept(sentence: str, cleaned: str) -> bool:
    """Whether a sentence is still there, whatever the space between its words, and with plain quotes."""
    return _plain(sentence) in _plain(cleaned)


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", text)
