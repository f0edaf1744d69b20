# ruff: noqa: E501 - one pattern a line
"""Takes off what models put around a reply: end tokens, labels, introductions, code fences, quotes.

Only what can be taken off without a guess, at the edges. What the row itself has around its text stays. Anything else
is for the guards (see guards.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ROLE = r"(?:assistant|model|user|system|final|bot|gpt)?"
TOKEN = (
    r"<[|｜][^<>|｜\n]{1,60}[|｜]>|</?s>|<(?:bos|eos|pad|eot|eod|sep|unk|eop|sop|(?:start|end|begin|beginning)_of_\w{1,24}|"
    r"endoftext|im_start|im_end|im_sep|eot_id|eom_id|unused\d{1,4})>|\[/?INST\]|<</?SYS>>|\[e~\["
)
"""Control tokens of chat templates, as a pattern."""
_TOKEN = re.compile(TOKEN, re.IGNORECASE)
_LEADING_ROLE = re.compile(rf"\s{{0,20}}{_ROLE}\s{{0,20}}\Z", re.IGNORECASE)

_TAGGED = re.compile(
    r"\A<(?P<tag>(?:final[_ ]?|rewritten[_ ]?|new[_ ]?)?(?:answer|question|output|response|reply|result|text|solution))>"
    r"(?P<inner>.*)</(?P=tag)>\Z",
    re.IGNORECASE | re.DOTALL,
)
_FENCE = re.compile(
    r"\A(?P<fence>```+|~~~+)(?:te?xt|plaintext|markdown|md|json|answer)?[ \t]*\n(?P<inner>.*)\n?(?P=fence)\Z", re.DOTALL
)
_ONE_LINE_FENCE = re.compile(r"\A```(?P<inner>[^`\n]{1,2000})```\Z")
_QUOTES = (('"', '"'), ("“", "”"), ("「", "」"), ("『", "』"), ("'", "'"), ("‘", "’"), ("«", "»"), ('"""', '"""'))

_EDITED = (
    r"rewritten|revised|improved|reworded|edited|polished|optimi[sz]ed|rephrased|corrected|cleaned(?:[- ]up)?|refined|"
    r"updated|enhanced|final|new|better|missing|suggested|proposed|concise|your|the|my|a|an|possible|complete|full"
)
_EDITED_ZH = (
    r"(?:(?:改写|优化|修改|润色|重写|修订|整理|改进|完善|生成|补充|补全|更新|最终|新|完整)(?:之?后|过|好)?的?)?"
)
_NOUNS = {
    "answer": (
        r"answer|response|reply|output|solution|text|result|version",
        r"答案|回答|回复|解答|答复|输出|文本|版本|答",
    ),
    "question": (r"question|output|text|query|result|version", r"问题|提问|输出|文本|版本|问"),
}
_SURE = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|all right|no problem|understood|got it|great|"
    r"happy to help|gladly|好的?|当然(?:可以)?|没问题|可以|明白了?|收到|行)"
)
_SURE_SENTENCE = re.compile(rf"\A\W{{0,4}}{_SURE}\s{{0,4}}(?:[!！.。]|[,，]?\s{{0,4}}\n)\s*(?=\S)", re.IGNORECASE)
_CHATTER = re.compile(
    rf"\A\W{{0,4}}{_SURE}?\W{{0,4}}(?:i[’']?d be (?:happy|glad) to(?: help)?[^.!\n:]{{0,60}}|i can help(?: you)? with that|"
    rf"i(?:[’']ve| have) (?:rewritten|revised|edited|improved)[^.!\n:]{{0,60}}|let me (?:help|rewrite)[^.!\n:]{{0,60}}|"
    rf"我(?:来|已经?)[^。！\n：:]{{0,20}}(?:改写|优化|润色)[^。！\n：:]{{0,20}})[.!。！:：]\s*(?=\S)",
    re.IGNORECASE,
)


def take_off(text: str, *, original: str = "", field: str = "answer") -> str:
    """The text without what was put around it; `original` is what the reply replaces."""
    text = without_edge_tokens(text, original=original)
    for _ in range(_MAX_LAYERS):
        before = text
        for layer in _LAYERS:
            text = layer(text, original, field).strip()
        if text == before:
            break
    return text


def without_enclosure(text: str, *, original: str = "") -> str:
    """The text without tokens at its edges, and without tags, a fence or quotes around the whole of it."""
    text = without_edge_tokens(text, original=original)
    for layer in (_untagged, _unfenced, _unquoted):
        text = layer(text, original, "").strip()
    return text


def without_edge_tokens(text: str, *, original: str = "") -> str:
    """The text without the control tokens that it begins and ends with, and the roles beside them."""
    tokens = [(found.start(), found.end()) for found in _TOKEN.finditer(text) if found[0] not in original]
    start, end = 0, len(text)
    for first, last in tokens:
        if start < first and not _is_edge(text, start, first):
            break
        start = last
    if start and (role := _ROLE_LINE.match(text, start)):
        start = role.end()
    for first, last in reversed(tokens):
        if first < start or not _is_edge(text, last, end):
            break
        end = first
    return text[start:end].strip()


def _is_edge(text: str, start: int, end: int) -> bool:
    """Whether nothing but a role stands there."""
    return end - start <= _MAX_GAP and _LEADING_ROLE.match(text[start:end]) is not None


def _untagged(text: str, original: str, field: str) -> str:
    found = _TAGGED.match(text)
    return text if found is None or original.lstrip().startswith("<") else found["inner"]


def _unfenced(text: str, original: str, field: str) -> str:
    found = _FENCE.match(text) or _ONE_LINE_FENCE.match(text)
    if found is None or "```" in found["inner"] or original.lstrip().startswith(("```", "~~~")):
        return text
    return found["inner"]


def _unlabelled(text: str, original: str, field: str) -> str:
    found = _labels(field).match(text)
    if found is None or _labels(field).match(original.strip()):
        return text
    return text[found.end() :]


def _unquoted(text: str, original: str, field: str) -> str:
    for opening, closing in _QUOTES:
        inner = text[len(opening) : -len(closing)]
        is_quoted = len(text) > 2 and text.startswith(opening) and text.endswith(closing)
        if is_quoted and inner and not {opening[0], closing[0]} & set(inner):
            return text if original.strip().startswith(opening) and original.strip().endswith(closing) else inner
    return text


def _without_sure(text: str, original: str, field: str) -> str:
    """An assistant's "Sure!" is no part of a rewrite; where there is no original, it may be the answer."""
    if not original or _SURE_SENTENCE.match(original):
        return text
    return _CHATTER.sub("", _SURE_SENTENCE.sub("", text, count=1), count=1)


def _labels(field: str) -> re.Pattern[str]:
    return _LABELS[field] if field in _LABELS else _LABELS["answer"]


def _label_pattern(noun: str, noun_zh: str) -> re.Pattern[str]:
    sure = rf"(?:\W{{0,4}}{_SURE}\W{{0,4}})?"
    return re.compile(
        rf"\A{sure}(?:"
        rf"#{{1,6}}[ \t]*(?:(?:{_EDITED})\s){{0,3}}(?:{noun})\W{{0,4}}(?:\n|[:：])"
        rf"|[*_#\s]{{0,6}}(?:(?:{_EDITED})\s){{0,3}}(?:{noun})[*_\s]{{0,4}}[:：]"
        rf"|[*_]{{2,3}}(?:(?:{_EDITED})\s){{0,3}}(?:{noun})[*_]{{2,3}}[ \t]*\n"
        rf"|\W{{0,4}}here(?:[’']s| is| are) (?:[\w'’-]{{1,16}} ){{0,8}}(?:{noun}|rewrite|revision)(?: [\w'’-]{{1,16}}){{0,8}}\W{{0,3}}[:：]"
        rf"|\W{{0,4}}here (?:you (?:go|are)|it is|we go)\W{{0,3}}[:：!.]"
        rf"|\W{{0,4}}(?:below|the following) is (?:[\w'’-]{{1,16}} ){{0,6}}(?:{noun}|rewrite|revision)(?: [\w'’-]{{1,16}}){{0,6}}\W{{0,3}}[:：]"
        rf"|[#*_\s【\[]{{0,6}}{_EDITED_ZH}(?:{noun_zh})(?:是|为|如下)?[】\]*_\s]{{0,4}}[:：]"
        rf"|【{_EDITED_ZH}(?:{noun_zh})】"
        rf"|#{{1,6}}[ \t]*{_EDITED_ZH}(?:{noun_zh})[ \t]*\n"
        rf"|\W{{0,4}}(?:以下|下面|这|如下)(?:就?是|为)[^\n:：。]{{0,24}}(?:{noun_zh}|内容|结果)[^\n:：。]{{0,8}}[:：]"
        rf"|{_EDITED_ZH}如下[:：]"
        r")[*_]{0,3}\s*(?=\S)",
        re.IGNORECASE,
    )


_LABELS = {field: _label_pattern(*nouns) for field, nouns in _NOUNS.items()}
_ROLE_LINE = re.compile(r"\s{0,20}(?:assistant|model|final|bot)\s{0,4}(?:\n|:)", re.IGNORECASE)
_LAYERS: tuple[Callable[[str, str, str], str], ...] = (_untagged, _unfenced, _without_sure, _unlabelled, _unquoted)
_MAX_LAYERS = 4
_MAX_GAP = 60
