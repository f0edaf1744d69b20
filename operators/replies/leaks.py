# ruff: noqa: E501 - one pattern a line
"""Recognises what belongs to the work on a text and not to the text: labels, introductions, notes, tokens, placeholders.

In English and Chinese. A pattern that the original text matches as well is no leak.
"""

from __future__ import annotations

import re

from operators.replies.reasoning import reasoning_tags
from operators.replies.wrappings import TOKEN
from operators.texts.chinese import simplified

_EDITED = r"rewritten|revised|improved|reworded|edited|polished|optimi[sz]ed|rephrased|corrected|refined|enhanced|cleaned(?:[- ]up)?"
_EDITED_ZH = r"(?:改写|优化|修改|润色|重写|修订|整理|改进|完善|精简)"
_CHANGED = (
    r"(?:kept|keep|changed|removed|shortened|rewrote|rewritten|edited|corrected|simplified|preserved|fixed|adjusted|improved|clarified|"
    r"reworded|rephrased|replaced|maintained|retained|cleaned|expanded|trimmed|polished|streamlined|restructured|made)"
)

_ALWAYS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"^\W{0,4}(?:(?:your|the|my|this|new|next|rewritten|revised|improved|edited|final|original|optimi[sz]ed|correct|corrected|polished|missing|better)\s+){0,3}(?:question|answer|response|reply|user|assistant|human)(?:\s+(?:is|would be))?\W{0,3}[:：]",
        r"\A\W{0,4}(?:(?:your|the|my|this|new|rewritten|revised|improved|edited|final|original)\s+){0,3}(?:output|instruction|q|rewrite|revision|result|solution|json|text)(?:\s+(?:is|would be))?\W{0,3}[:：]",
        rf"^[ \t]{{0,8}}(?:#{{1,6}}[ \t]{{0,4}}|[*_]{{2,3}})(?:(?:{_EDITED}|final|your|the|new|my)[ \t]){{0,3}}(?:question|answer|response|reply|output)[*_ \t]{{0,6}}$",
        r"\b(?:your|the) (?:new |rewritten )?(?:answer|question|response) is\s{0,4}[:：]",
        r"\b(?:rewritten|reworded|rephrased) (?:question|answer|version|pair|text|response|passage)\b|\b(?:revised|improved|edited|polished|optimi[sz]ed|refined|enhanced|corrected|cleaned(?:[- ]up)?) (?:question|answer|pair|response)\b",
        rf"\b(?:this|here|that|above|below|following)(?:[’']s| is| was) (?:the|a|an|my|your) (?:\w+ ){{0,2}}(?:{_EDITED})(?:,? (?:and )?\w+)? (?:version|text|rewrite|one)\b|^\W{{0,4}}(?:{_EDITED}) (?:version|text)\W{{0,3}}[:：]",
        rf"\A\W{{0,4}}(?:(?:sure|certainly|of course|absolutely|okay|ok|great)\W{{1,3}})?(?:here(?:[’']s| is| are)|below is|the following is) (?:the|your|a|an|my|one)\b[^\n:：]{{0,60}}\b(?:answer|question|response|reply|version|text|rewrite|revision|pair|json|{_EDITED})\b[^\n:：]{{0,60}}[:：]",
        r"\A\W{0,4}(?:(?:sure|certainly|of course|absolutely|okay|ok|great)\W{1,3})?(?:here you (?:go|are)|here it is|here we go)\W{0,3}(?:[:：!.\n]|\Z)",
        rf"(?:^|\(|\[|\*)\W{{0,4}}(?:note|nb|n\.b\.|explanation|remark|comment|edit|disclaimer)s?\W{{0,3}}[:：][^\n]{{0,60}}?\b{_CHANGED}\b",
        r"\((?:note|explanation)[:：] ?(?:i\b|the (?:question|answer|original|rewrit\w+|text)\b|this (?:question|answer|version|rewrit\w+)\b)[^)\n]{0,300}\)|^\W{0,8}note[:：] (?:i\b|the (?:question|answer)|this (?:question|answer))\b",
        r"^\W{0,6}(?:key |main |summary of (?:the )?|list of |explanation of (?:the )?|notes? on (?:the )?|the following |what )?(?:changes|edits|modifications|revisions|corrections)(?: (?:i |that (?:i |were ))?(?:made|applied|include|are))?\W{0,3}(?:[:：]|$)|^\W{0,6}(?:what i changed|editor[’']?s? notes?|editing notes?|revision notes?|rationale for (?:the )?changes)\b",
        rf"\bi(?:[’']ve| have)? (?:also |just |only |slightly |carefully )?{_CHANGED} (?:the|your|this|it|both|some|any|all|a few|minor|out)\b(?: \w+){{0,3}}? ?(?:question|answer|text|original|wording|grammar|pair|response|sentence|meaning|markup|repetition|noise|phrasing|changes|version|typo)s?\b",
        r"\bthe (?:original|rewritten|revised) (?:question|answer|pair|text|response|version) (?:was|is|has|had|remains?|does|did|already|contained)\b|\bthe (?:question|answer|pair|text) (?:is|was) (?:already )?(?:clear|correct|good|concise|fine|well[- ]written)[^\n]{0,30}\bno changes\b",
        r"\bno (?:further |other )?changes (?:are |were |is |was |have been )?(?:needed|made|necessary|required)\b|\bleft (?:it |the \w+ )?(?:unchanged|as (?:it )?is)\b",
        r"\(?\b(?:word|character|token) count\W{0,3}[:：]? ?\d+|\(\d{1,4} (?:words|characters|tokens)\)\s*\Z",
        r"\blet me know if (?:you(?:[’']d| would)? (?:like|want|need|prefer)|this) [^\n.!?]{0,60}\b(?:chang|edit|revis|adjust|rewrit|version|shorter|longer|modif|tweak)\w*|\bwould you like me to (?:revise|rewrite|edit|adjust|shorten|change|improve|make)\b|\bi hope this (?:revision|version|rewrite|revised|rewritten|edited|improved)",
        r"^\W{0,4}(?:please )?rewrite (?:this|the) (?:question|answer)\b|^\W{0,4}请?改写(?:这个|该)?(?:问题|答案)",
        r"[\[<](?:insert|your|rewritten|enter|fill in|placeholder|add) ?[\w ’'-]{0,40}[\]>]|[\[<](?:the |new |your )?(?:answer|question|rewritten \w+|new \w+|reply|response)(?: (?:here|text|goes here))?[\]>]",
        r"\{\{?\s?(?:answer|question|text|your \w+|placeholder|insert \w+)\s?\}\}?|\blorem ipsum\b|\binsert (?:the |your )?(?:answer|question|text) here\b|\byour (?:answer|question|text) (?:goes )?here\b",
        r"[（(\[【<](?:请?在?此处?(?:填写|插入|输入|填入)|插入|填写|待补充|待填写|您的|你的)[^\])）】>\n]{0,20}[)）\]】>]|此处(?:填写|插入|输入)",
        r"[\"“”'](?:question|answer|问题|答案)[\"“”']\s{0,4}[:：]",
        r"^\W{0,4}(?:您的|你的|我的|新的?|最终的?|参考|标准|正确的?|完整的?|(?:改写|优化|修改|润色|重写|修订|生成|补充|补全)后?的?)?(?:问题|答案|回答|回复|提问|用户|助手|问|答)(?:是|为|如下)?\W{0,3}[:：]|\A\W{0,4}(?:最终|改写)?输出[:：]",
        r"(?:改写|润色|重写|改述)(?:之?后|过)的?(?:问题|答案|回答|版本|文本|内容|问答)|(?:优化|修改|修订|整理|改进|精简)(?:之?后|过)的?(?:问题|答案|回答|问答)",
        rf"(?:这|以上|以下|上面|下面|如下|上述)(?:就|便)?(?:是|为)?[^。\n:：]{{0,16}}{_EDITED_ZH}(?:之?后|过|好)?的?(?:版本|文本|内容|结果|文字)",
        rf"\A\W{{0,4}}(?:(?:好的?|当然|没问题|可以)\W{{0,3}})?(?:以下|下面|这|如下)(?:就)?(?:是|为)[^\n:：]{{0,40}}?(?:{_EDITED_ZH}|答案|回答|回复|问题|版本|文本)[^\n:：]{{0,20}}[:：]",
        rf"^\W{{0,6}}(?:{_EDITED_ZH}|调整|编辑|更改|变更|改动|主要)(?:后?的)?(?:改动|修改|变化|更改)?(?:说明|理由|原因|要点|思路|之处|点|如下|备注)[:：\s]|^\W{{0,6}}{_EDITED_ZH}后?(?:如下)?[:：]",
        r"^\W{0,6}(?:主要|具体|本次)的?(?:改动|修改|变化|更改|调整|优化)(?:内容|如下)?[:：]",
        r"^[ \t]{0,8}(?:【(?:\w{0,6}的)?(?:答案|回答|问题|回复)】|#{1,6}[ \t]{0,4}(?:\w{0,6}的)?(?:答案|回答|问题|回复)[ \t]{0,4}$)",
        r"(?:^|[（(【\[])\W{0,3}(?:注|备注|说明|注意|注释|提示|附注|解释)\W{0,2}[:：][^\n]{0,24}?(?:改写|原文|修改|删除|删去|保留|调整|精简|润色|优化|原答案|原问题|原意|更正|纠正|本回答|本答案|该回答|此回答)",
        rf"我(?:已|已经|对|将|把|做了|进行了|只|仅)[^。\n]{{0,20}}(?:{_EDITED_ZH}|删除|调整|更正|纠正|去掉)|(?:原文|原答案|原问题|原句|原意)[^。\n]{{0,12}}(?:保持|未作?改|没有改|无需|不变|已经)|(?:无需|不需要?|未作|未做|没有)(?:任何|作出|进行)?(?:修改|改写|改动)|(?:已|已经)(?:按照?|根据)(?:您|你)?的?要求",
        r"(?:希望|如果)[^。\n]{0,16}(?:改写|修改|润色|版本|调整)[^。\n]{0,12}(?:满意|帮助|告诉我|随时|需要)",
    )
)
_IN_REWRITES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\A\W{0,4}(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|no problem|understood|got it|great question|good question)\s?[!！]|\A(?:sure|certainly|of course|okay|ok)\.\s|\A(?:sure|certainly|of course),? (?:here|i[’'])",
        r"\A(?:好的|当然可以|没问题|明白了?|收到)[，,！!。]|\A当然[！!]",
        r"\n\W{0,4}(?:i hope (?:this|that) (?:helps|is helpful|answers)|let me know if|feel free to (?:ask|reach|let)|is there anything else|if you have any (?:other|further|more) questions)\b[^\n]{0,160}\s*\Z",
        r"[\n。！]\W{0,4}(?:如(?:果您|果你|您|你)?(?:有|还有|需)[^\n。]{0,30}(?:告诉我|联系|提问|询问|随时)|希望(?:这|以上|我的|能?对)[^\n。]{0,24}(?:帮助|有用)|请问还有)[^\n]{0,30}\s*\Z",
        r"(?:\A|\n)[ \t]{0,8}[#*_]{0,4}(?:explanation|reasoning|rationale|analysis|thinking|thought process|解释|分析|思路|思考过程|推理过程)[*_]{0,3}[:：]",
    )
)
_TOKEN = re.compile(
    TOKEN + r"|</?(?:answer|question|output|response|system|user|assistant|rewritten|rewritten_\w{1,12}|final_answer)>",
    re.IGNORECASE,
)
_NAMED_BLANK = re.compile(
    r"\b(?:template|letter|e-?mail|form|contract|invitation|resume|résumé|cv|memo|message|announcement|placeholder|blank|script|example)s?\b|模板|信|条|证明|启事|稿|函|报告|声明|邮件|合同|邀请|简历|通知|申请|占位",
    re.IGNORECASE,
)
_BLANK = re.compile(r"\[(?:insert|your|enter|add)\b|[【\[（(](?:您的|你的|填写|插入|请?在?此处)", re.IGNORECASE)
_STAND_INS = frozenset(
    [
        "string",
        "text",
        "answer",
        "question",
        "todo",
        "tbd",
        "n/a",
        "null",
        "placeholder",
        "undefined",
        "response",
        "reply",
        "output",
        "略",
        "待补充",
        "待定",
        "答案",
        "问题",
        "回答",
        "同上",
        "见上",
    ]
) | {
    "your answer",
    "your question",
    "the answer",
    "the question",
    "rewritten answer",
    "rewritten question",
    "answer here",
    "question here",
    "same as above",
    "see above",
    "no change",
    "no changes",
    "unchanged",
    "as above",
}


def leaks(text: str, *, original: str | None, row_text: str) -> bool:
    """Whether a reply shows the work on it; `original` is None where it fills a gap."""
    said, before = simplified(text), simplified(original or "")
    patterns = _ALWAYS if original is None else (*_ALWAYS, *_IN_REWRITES)
    may_have_blanks = original is None and _NAMED_BLANK.search(row_text) is not None
    if may_have_blanks:
        said = _BLANK.sub("", said)
    if any(pattern.search(said) and not pattern.search(before) for pattern in patterns):
        return True
    return _has_foreign_token(text, row_text) or _stands_in(text, before, row_text)


def _has_foreign_token(text: str, row_text: str) -> bool:
    tags = reasoning_tags(text)
    known = row_text.lower()
    return any(token.lower() not in known for token in (*_TOKEN.findall(text), *tags))


def _stands_in(text: str, original: str, row_text: str) -> bool:
    """Whether the whole text is a word that stands for one that should be there."""
    whole = text.strip(" \t\n.!\"'`[]()<>{}【】（）").lower()
    return whole in _STAND_INS and whole not in original.lower() and whole not in row_text.lower()
