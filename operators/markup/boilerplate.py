"""Finds what surrounds a text on its page: menus, share buttons, copyright lines, and links that only advertise.

Works on lines and knows English and Chinese. A page's lines go wherever they stand; from any other text go only
invitations to follow a link, and only at its beginning or end. A link that is part of what a text says always stays.
"""

from __future__ import annotations

import re

from operators.texts.text import folded, holds_any

_URL = r"(?:https?://|www\.)[^\s<>\"'，。；！？、（）]+"
_MAIL = r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"
_SOCIAL = (
    r"(?:facebook|twitter|whats\s?app|linkedin|pinterest|reddit|instagram|youtube|telegram|tumblr|wechat|e-?mail|x|"
    r"tiktok|google\+?|vk|line)"
)
_MENU = (
    r"(?:home|about(?:\sus)?|contact(?:\sus)?|log\s?in|log\s?out|sign\s?(?:in|up)|register|privacy(?:\spolicy)?|terms(?:\sof\s"
    r"(?:use|service))?|faqs?|site\s?map|search|help|blog|news|products?|services?|shop|store|careers|cart|account|"
    r"questions|archive|forums?|subscribe|imprint|legal|cookies?(?:\ssettings|\spolicy)?|settings|accept(?:\sall)?|reply|"
    r"report|share|print|previous|next|top|menu|topics|health\sa-z|tools|categories|disclaimer|advertise|support|"
    r"首页|主页|关于(?:我们)?|联系(?:我们)?|登录|注册|搜索|帮助|新闻|产品|服务|论坛|隐私(?:政策)?|网站地图|返回顶部|回复|举报|分享|"
    r"收藏(?:本站)?|打印|上一页|下一页|资讯|问答|专题|视频|图片|健康|下载|购物车|商城|博客|更多)"
)
_BETWEEN = r"\s*(?:[|·•»›>/,，、→\-–—]|::)\s*"
_INVITED = rf"(?:\s*[:：\-–>»→]*\s*(?:{_URL}|{_MAIL}))"

_FURNITURE = re.compile(
    rf"""
      (?:please\s+)?(?:share|tweet|pin|like|follow)\b[^.!?]{{0,40}}?\b{_SOCIAL}\b.{{0,120}}
    | (?:share|tweet|follow|like)(?:\s+(?:this|us|on|it|with|your|friends|article|page|post|via|me))*\s*[:!.]?
    | (?:we|this\s+(?:web\s*)?(?:site|page)|our\s+(?:web\s*)?site)\s+uses?\s+cookies\b.*
    | (?:by\s+(?:continuing|using)\s+.{{0,60}}\bcookies\b.*)
    | (?:you\s+are\s+here\s*[:：]\s*)?(?:home|首页|主页|当前位置)\s*(?:[»›>/→:：]|::)\s*.{{0,160}}
    | {_MENU}(?:{_BETWEEN}{_MENU}){{1,20}}(?:{_BETWEEN})?
    | {_MENU}(?:\s+{_MENU}){{2,20}}
    | (?:read|see|view|show|learn|find\s+out|load|discover)\s+(?:more|full\s+(?:article|story)|all|the\s+(?:full
      |rest|whole)\b.{{0,30}})
      (?:\s+(?:on|at|about|from|in)\b.{{0,60}})?{_INVITED}?\s*[.!»›→…>]*
    | continue\s+reading\b.{{0,80}}
    | (?:click|tap)\s+(?:here|this\s+link|the\s+link|below)\b.{{0,120}}
    | (?:back\s+to\s+(?:the\s+)?(?:top|home\s*page|main\s+page|list)|skip\s+to\s+(?:main\s+)?content
      |print\s+(?:this\s+)?(?:page|article)|report\s+(?:abuse|this|post)|
      leave\s+a\s+(?:comment|reply)|add\s+(?:a\s+)?comment|post\s+a\s+comment|toggle\s+navigation|main\s+menu
      |loading\.{{0,3}}|advertise?ments?|sponsored(?:\s+content)?|
      all\s+rights\s+reserved|download\s+(?:our|the)\s+app.{{0,60}}|please\s+enable\s+javascript.{{0,60}}
      |table\s+of\s+contents|no\s+comments(?:\s+yet)?)\s*[.!]?
    | \d[\d.,]*k?\s+(?:comments?|views?|likes?|shares?|replies|reads?|votes?|followers?)(?:{_BETWEEN}.{{0,60}})?
    | (?:posted|published|written|submitted|asked|answered|edited|updated|last\s+(?:updated|modified
      |edited))\s*(?:by|on|in|at|[:：])\s*.{{0,40}}\d.{{0,80}}
    | (?:posted|published|submitted)\s+(?:by|in|under)\s+\S{{1,30}}(?:\s+\S{{1,30}}){{0,3}}
    | (?:filed\s+under|tags?|tagged|categories|category|keywords|labels)\s*[:：].{{0,120}}
    | (?:related|recommended|similar|popular|recent|latest|trending|more)\s+(?:articles?|posts?|questions?|links?
      |stories|topics?|pages?|news|reading)\b\s*[:：]?.{{0,160}}
    | you\s+(?:may|might)\s+also\s+(?:like|be\s+interested)\b.{{0,120}}
    | (?:sign\s+up|subscribe|join)\b.{{0,60}}\b(?:newsletter|mailing\s+list|updates|channel|feed|rss)\b.{{0,120}}
    | (?:copyright|©|\(c\)|&copy;)\s*(?:©|\(c\))?\s*.{{0,160}}
    | .{{0,80}}\ball\s+rights\s+reserved\b.{{0,80}}
    | (?:for\s+(?:more|further)\b.{{0,40}}?[,\s]\s*)?(?:please\s+)?(?:visit|see|check\s+out|go\s+to|follow
      |find\s+us\s+(?:at|on))\s+(?:(?:us|our|my|the|this|more)\b.{{0,60}}?)?{_URL}.{{0,60}}
    | (?:please\s+)?visit\s+(?:our|my)\s+(?:web\s*site|site|page|blog|shop|store|homepage)\b.{{0,80}}
    | (?:source|original(?:\s+(?:article|post|link|source))?|via|permalink|link|website|url
      |first\s+published\s+(?:on|at)|originally\s+(?:posted|published)\s+(?:on|at))\s*[:：]?\s*(?:{_URL}
      |{_MAIL})\s*\.?
    | (?:contact|e-?mail)(?:\s+(?:us|the\s+(?:editor|author|webmaster)))?\s*(?:at|[:：])?\s*{_MAIL}\s*\.?
    | [(\[]?\s*{_URL}\s*[)\]]?
    | (?:请?点击|点此|点这里|点我|猛戳|戳)(?:这里|此处|链接|下方|上方|查看|阅读|进入|下载|关注|了解|蓝字|图片
      |观看)?.{{0,80}}
    | (?:阅读|查看|了解|展开|浏览|显示)(?:更多|全文|原文|详情|全部|剩余).{{0,60}}
    | (?:分享(?:到|至|给)|转发(?:到|至)).{{0,80}}
    | (?:欢迎|请)?(?:关注|扫码|扫描|扫一扫|加入|添加|搜索)(?:我们|本站|公众号|微信|官方|下方|上方|二维码
      |微博).{{0,80}}
    | (?:长按|识别).{{0,10}}二维码.{{0,40}}
    | .{{0,60}}(?:版权所有|保留所有权利|ICP备\s*\d+|公网安备).{{0,80}}
    | (?:未经(?:许可|授权|允许).{{0,20}}(?:转载|复制).{{0,30}}|转载(?:请|需|须)?(?:注明|联系).{{0,80}})
    | (?:本文(?:来源|来自|转自|转载自|地址|链接|作者|由)|原文(?:链接|地址|出处)|文章来源|来源|出处|责任编辑|责编
      |编辑|作者|发布(?:时间|者|于|日期)|更新(?:时间|日期|于)|时间|标签
      |关键词|分类|栏目)\s*[:：]?\s*[^。！？]{{0,60}}(?<=[\w）)/])
    | (?:上一篇|下一篇|上一页|下一页)\s*[:：].{{0,80}}
    | (?:相关|热门|推荐|最新|猜你喜欢|更多|精彩)(?:的)?(?:阅读|推荐|文章|链接|问题|内容|资讯|新闻
      |话题)?\s*[:：].{{0,120}}
    | (?:相关|热门|推荐|最新|更多|精彩)(?:阅读|推荐|文章|链接|问题|内容|资讯|新闻|话题)
    | 猜你喜欢.{{0,60}}
    | (?:浏览|阅读|点击|评论|点赞|收藏|回复|分享)(?:量|数|次数|人数)?\s*[:：(（]?\s*\d[\d,.万]*\s*[)）]?(?:次|人
      |条)?(?:\s*[|·\s]\s*.{{0,40}})?
    | \d+\s*(?:人|次|条)?\s*(?:浏览|阅读|评论|点赞|收藏|回复|回答|赞同).{{0,30}}
    | (?:更多|详细|具体)[^。！？]{{0,20}}(?:请|可)?(?:访问|浏览|登录|关注|点击|参见)[^。！？]{{0,20}}(?:{_URL}
      |官网|网站|公众号|链接).{{0,40}}
    | (?:请|欢迎)?(?:访问|浏览|登录)(?:我们|本站|官网|官方)[^。！？]{{0,30}}(?:{_URL})?.{{0,30}}
    | (?:本(?:站|网站|网页)(?:使用|采用).{{0,20}}cookie.*|返回(?:顶部|首页|列表|上一页)|收藏本站
      |免责声明\s*[:：].{{0,160}}|广告|赞助(?:内容)?|展开全部|收起)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""A whole line of a page that is no text of it."""

_FIRST_WORD = re.compile("[a-z]+")
_FIRST_WORDS_TEXT = """
please share tweet pin like follow we this our by you home about log login logout sign signin signup register
privacy terms faq faqs site sitemap search help blog news product products service services shop store careers
cart account questions archive forum forums subscribe imprint legal cookie cookies settings accept reply report
print previous next top menu topics health tools categories disclaimer advertise support read see view show
learn find load discover continue click tap back skip leave add post toggle main loading advertisement
advertisements advertisment advertisments sponsored all download table no last filed tag tags tagged category
keywords labels related recommended similar popular recent latest trending more join for visit check go first e
https http www
"""
_FIRST_WORDS = frozenset(_FIRST_WORDS_TEXT.split())
_FIRST_LETTERS_TEXT = """
posted published written submitted asked answered edited updated contact email source original via permalink
link website url copyright
"""
_FIRST_LETTERS = tuple(_FIRST_LETTERS_TEXT.split())
_FIRST_SIGNS = frozenset(
    "©(&[首主当关联登注搜帮新产服论隐网返回举分收打上下资问专视图健购商博更请点此猛戳阅查了展浏显转欢扫加添长识未本原文来出责编作发时标栏"
    "相热推最猜精评详具访免广赞"
)
_WORDS_OF_RIGHTS = ("reserved", "版权所有", "保留所有权利", "icp备", "公网安备")
"""Any line that is furniture begins with one of these words, letters or signs or a digit, or speaks of rights."""

_OUR = r"(?:our|my|us|(?:the|this)\s+(?:official|author['’]s|company['’]s))"
_INVITATION = re.compile(
    rf"""
      (?:(?:for\s+(?:more|further|full)\b[^.!?\n]{{0,60}}?[,\s]\s*)?(?:please\s+)?
        (?:visit|see|check\s+out|go\s+to|follow|find|like
      |join)\s+{_OUR}\b[^.!?\n]{{0,60}}?{_URL}[^\n.!?]{{0,60}}[.!]?)
    | (?:(?:read|see|view|learn|find\s+out|get)\s+more(?:\s+(?:answers|tips|articles|stories
      |about\s+[^.!?\n]{{1,40}}?|like\s+this))?\s*(?:on|at|here|via
      |[:：>»→])[^\S\n]*[:：]?[^\S\n]*(?:{_URL})[^\n.!?]{{0,40}}[.!]?)
    | (?:(?:read|see|view)\s+the\s+(?:full|whole|original|rest\s+of\s+the)\s+(?:article|story|post|answer
      |text)\b[^.!?\n]{{0,30}}?{_URL}[.!]?)
    | (?:(?:click|tap)\s+(?:here|this\s+link|the\s+link
      |on\s+the\s+link)\b[^.!?\n]{{0,80}}?{_URL}[^\n.!?]{{0,40}}[.!]?)
    | (?:(?:subscribe|sign\s+up)\b[^.!?\n]{{0,80}}?(?:{_URL}|{_MAIL})[^\n.!?]{{0,40}}[.!]?)
    | (?:(?:source|originally\s+(?:posted|published)\s+(?:on|at)|permalink)\s*[:：]\s*{_URL}[.!]?)
    | (?:(?:更多|详细|具体|想了解)[^。！？\n]{{0,30}}(?:点击|访问|浏览|登录|关注
      |查看)[^。！？\n]{{0,20}}?{_URL}[^。！？\n]{{0,20}}[。！!.]?)
    | (?:(?:请|欢迎)?(?:点击|戳|点此|猛戳)[^。！？\n]{{0,20}}?{_URL}[^。！？\n]{{0,20}}[。！!.]?)
    | (?:{_URL}[^\S\n]*(?:点击|查看更多|阅读更多|阅读全文|查看全文|了解更多|查看原文
      |立即)[^。！？\n]{{0,20}}[。！!.]?)
    | (?:(?:请|欢迎)?(?:访问|浏览|登录|关注)(?:我们|本站|本网站|官网
      |官方网站)[^。！？\n]{{0,20}}?{_URL}[^。！？\n]{{0,20}}[。！!.]?)
    | (?:(?:阅读|查看)(?:原文|全文|更多)\s*[:：]?\s*{_URL}[。！!.]?)
    | (?:(?:本文(?:来自|来源|转自|链接|地址)|原文(?:链接|地址)|转载自
      |文章来源)\s*[:：]?\s*{_URL}[^。！？\n]{{0,10}}[。！!.]?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SURE = re.compile(
    rf"""
      share\b[^.!?]{{0,30}}?\b{_SOCIAL}\b.{{0,20}}?\b{_SOCIAL}\b.{{0,60}}
    | (?:we|this\s+(?:web\s*)?site|our\s+(?:web\s*)?site)\s+uses?\s+cookies\b.{{0,160}}
    | home\s*[»›]\s*.{{1,120}}
    | posted\s+(?:by|on)\b.{{0,60}}\d.{{0,40}}\bviews\b.{{0,40}}
    | (?:subscribe\s+to|sign\s+up\s+for)\s+(?:our|the)\s+newsletter\b.{{0,80}}
    | (?:copyright|©|\(c\)).{{1,60}}[a-z0-9-]\.[a-z]{{2,12}}\b.{{0,20}}\ball\s+rights\s+reserved\W*
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""A first or last line that is no text, whatever text it stands beside."""
_ASKS_FOR_LINK = re.compile(
    r"\b(?:links?|urls?|web ?sites?|web ?pages?|home ?pages?|e-?mail|address(?:es)?|where|download|contact|visit|"
    r"online|sources?|references?|cite|citations?|call to action|slogan|advert\w*|promot\w*|newsletter|"
    r"caption|tweet|post|"
    r"write|draft|compose|footer|copyright|licen[cs]e|signature|cookies?|banner|share|read more)\b"
    r"|链接|网址|网站|官网|邮箱|主页|地址|哪里|哪儿|下载|联系|来源|出处|广告|文案|参考|版权|公众号|推文|写",
    re.IGNORECASE,
)
_WEB_LINK = re.compile(_URL)
_LINK = re.compile(rf"{_URL}|{_MAIL}")
_SIGNS_OF_LINKS = ("://", "www.", "@")
_MAX_LINE = 240
_MAX_LINES = 1_000
"""Of a longer text, twice as many lines are judged: the first and the last ones. Furniture surrounds a text."""
_WORD = re.compile(r"\w")

INVITATIONS_RE2 = (
    (
        r"(?i)://|www\.",
        r"(?i)read|see|v.ew|learn|f.nd|get|v.s.t|check|go|follow|l.ke|jo.n|cl.ck|tap|subscr|s.gn|source|or.g.nal|"
        "permal.nk|更多|详细|具体|想了解|点击|戳|点此|全文|原文|了解|立即|访问|浏览|登录|关注|阅读|查看|本文|转载自|文章来源",
    ),
    ("@", "(?i)subscr|s.gn"),
)
"""RE2 patterns of links and of the words beside them, of which any beginning or end that is an invitation has matches.

For RE2 only two letters are a case of i, for Python four: so it may be any.
"""
SURE_RE2 = (
    r"(?im)^[\s\pZ\x0b\x1c-\x1f\x{85}]*(?:"
    r"share.*(?:facebook|tw.tter|whats|l.nked.n|p.nterest|redd.t|.nstagram|youtube|telegram|tumblr|wechat|ma.l|x|t.ktok|google|vk|l.ne)|(?:we|th.s|our).*cook.es|home.*[»›]|posted.*v.ews|"
    r"(?:subscr|s.gn).*newsletter|(?:copyr.ght|©|\(c\)).*reserved)"
)
"""RE2 pattern of which any text whose first or last line is sure to be no text of it has a match."""
MAX_EDGE = 400
"""Characters at either end of a text that are searched for an invitation."""


def asks_for_link(text: str) -> bool:
    """Whether a question is answered by a link or an advertisement."""
    return _ASKS_FOR_LINK.search(text) is not None


def without_furniture(text: str, *, keep_links: bool) -> str:
    """The text of a page without the lines that only belong to the page; all of it where nothing else is left.

    `keep_links`: lines with a link or an address stay.
    """
    lines = text.split("\n")
    edges = {*range(_MAX_LINES), *range(len(lines) - _MAX_LINES, len(lines))} if len(lines) > 2 * _MAX_LINES else None
    kept = [
        line
        for at, line in enumerate(lines)
        if (edges is not None and at not in edges) or not _is_furniture(line, keep_links=keep_links)
    ]
    if len(kept) == len(lines) or not _says_something("\n".join(kept)):
        return text
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def without_invitations(text: str) -> str:
    """The text without a first or last sentence that only invites to follow a link."""
    kept = _without_sure_lines(text)
    head, tail = _edge(kept, first=True), _edge(kept, first=False)
    if tail:
        kept = kept[: -len(tail)].rstrip()
    if head and len(head) < len(kept):
        kept = kept[len(head) :].lstrip()
    return kept if _says_something(kept) else text


def _without_sure_lines(text: str) -> str:
    first, _, rest = text.partition("\n")
    if rest.strip() and len(first) <= _MAX_LINE and _SURE.fullmatch(first.strip()):
        text = rest.lstrip("\n")
    rest, _, last = text.rpartition("\n")
    return rest.rstrip() if rest.strip() and len(last) <= _MAX_LINE and _SURE.fullmatch(last.strip()) else text


def _is_furniture(line: str, *, keep_links: bool) -> bool:
    bare = line.strip()
    if not bare or len(bare) > _MAX_LINE or (keep_links and _LINK.search(bare)):
        return False
    return _may_be_furniture(bare) and _FURNITURE.fullmatch(bare) is not None


def _may_be_furniture(bare: str) -> bool:
    line = folded(bare)
    word = _FIRST_WORD.match(line)
    if word:
        begins = word.group() in _FIRST_WORDS or line.startswith(_FIRST_LETTERS)
        return begins or holds_any(line, _WORDS_OF_RIGHTS)
    return line[0] in _FIRST_SIGNS or line[0].isdigit() or holds_any(line, _WORDS_OF_RIGHTS)


def _edge(text: str, *, first: bool) -> str:
    """The invitation with which a text begins or ends, with the space around it; else nothing."""
    part = text[:MAX_EDGE] if first else text[-MAX_EDGE:]
    if not holds_any(part, _SIGNS_OF_LINKS) or not (_LINK if "@" in part else _WEB_LINK).search(part):
        return ""
    for found in _INVITATION.finditer(part):
        before, after = part[: found.start()], part[found.end() :]
        if first and not before.strip() and (after[:1] == "\n" or found.group()[-1] in ".!。！"):
            return part[: found.end()]
        is_sentence = not before.strip() or before.rstrip(" \t")[-1:] in ".!?。！？\n…)）"
        if not first and not after.strip() and is_sentence:
            return part[found.start() :]
    return ""


def _says_something(text: str) -> bool:
    return _WORD.search(text) is not None
