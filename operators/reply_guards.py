"""Judges a received reply before it may become part of a row: each fault has a name, and the first one found counts.

Judges by surface alone (English and Chinese): refusals, leaked labels, echoes of the prompt, loops, lengths, drift.
It cannot tell a false statement from a true one. A fault that the original text has too is no fault of the reply.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from operators.reply_parsing import cjk_share
from operators.text import split_units


class Verdict(StrEnum):
    """What is said about a reply; all but ACCEPTED are counted as `rejected:<verdict>`."""

    ACCEPTED = "accepted"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    REFUSED = "refused"
    LABEL_LEAK = "label_leak"
    PROMPT_ECHO = "prompt_echo"
    COPIED = "copied"
    ANSWERED = "answered"
    NOT_A_QUESTION = "not_a_question"
    REPETITIVE = "repetitive"
    WRONG_LANGUAGE = "wrong_language"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    OFF_TOPIC = "off_topic"
    NEAR_COPY = "near_copy"


class ReplyLimits(BaseModel):
    """How far a reply may go. Lengths are in words, and a CJK character is a word."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_length_ratio: float = Field(default=3.0, gt=1.0)
    """Longest reply, as a multiple of the text that it is measured by."""
    min_length_ratio: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Shortest reply, as a share of that text."""
    slack_words: int = Field(default=20, ge=0)
    """Texts may grow by this many words whatever the ratio, and texts this short may shrink freely."""
    max_words: int = Field(default=2000, ge=1)
    """Longest reply of all."""
    min_overlap: float = Field(default=0.15, ge=0.0, le=1.0)
    """A rewrite shares at least this part of its words with the row that it rewrites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyContext:
    """What a reply is judged against."""

    limits: ReplyLimits
    original: str | None = None
    """The text that the reply replaces, None where it fills a gap."""
    row_text: str = ""
    """All text of the row: its language is the reply's language, and a rewrite shares words with it."""
    siblings: tuple[str, ...] = ()
    """The row's other field, which the reply must not repeat."""
    withheld: str = ""
    """Where the reply is a question: its answer, which it must not give away."""
    asks: bool = False
    """Whether the reply must ask, since the original or most few-shots do (see `asks_something`)."""
    shown: tuple[str, ...] = ()
    """Few-shots and examples in the prompt, which a reply of some length must not repeat."""
    instruction: frozenset[tuple[str, ...]] = frozenset()
    """Word n-grams of the instruction (see `instruction_ngrams`)."""


_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bi(?:[’']m| am) (?:very |so )?sorry,? (?:but )?(?:i |we )(?:can[’']?t|can ?not|am unable|won[’']t)",
        r"\bi(?:[’']m| am) (?:very |so )?sorry,? but i(?:[’']m| am) (?:not|unable|only)\b",
        r"\bi(?:[’']m| am)? (?:can[’']?t|can ?not|unable to|not able to|won[’']t) (?:to )?(?:help|assist|comply|"
        r"provide|answer|rewrite|fulfil|generate|create|write|complete|respond|engage|discuss|fabricate)",
        r"\bi (?:must|have to) (?:decline|refuse)|\bi apologi[sz]e,? but (?:i|as)\b",
        r"\bas an? (?:large )?(?:ai |artificial intelligence )?(?:language model|ai assistant|chatbot)\b",
        r"\bas an ai,? i (?:can|do|am|have|must)",
        r"(?:抱歉|对不起|不好意思)[，,。！!]?\s*(?:但|但是)?[，,]?\s*(?:我|作为|这个问题|该问题)[^。！？]{0,12}(?:无法|不能|不便|没有办法|没办法)",
        r"作为(?:一个|一名|一款|一位)?(?:大型)?(?:人工智能|ai|智能|大?语言模型)",
        r"我(?:无法|不能|没有办法|没办法)(?:为您|为你|给您|给你|对此|直接)?(?:提供|回答|回复|协助|帮助|完成|改写|生成|处理|满足)",
    )
)
_REFUSAL_SPAN = 200

_LEAKS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"^\W{0,4}(?:(?:your|the|my|this|new|next|rewritten|revised|improved|edited|final|original|optimi[sz]ed|correct|"
        r"corrected|polished|missing|better)\s+){0,3}(?:question|answer|response|reply|output|user|assistant|human|"
        r"instruction|q)(?:\s+(?:is|would be))?\W{0,3}[:：]",
        r"\b(?:your|the) (?:new |rewritten )?(?:answer|question|response) is\s*[:：]",
        r"\b(?:rewritten|revised|improved|reworded|edited|polished|optimi[sz]ed|rephrased|corrected) "
        r"(?:question|answer|version|pair|text|response)\b",
        r"\A\W*(?:(?:sure|certainly|of course|okay|ok)\W+)?"
        r"here(?:[’']s| is| are) (?:the|your|a|an|my|one)\b[^\n]{0,80}[:：]",
        r"\((?:note|explanation)[:：][^)]*\)|^\W*note[:：] (?:i|the (?:question|answer)|this (?:question|answer))\b",
        r"^\W{0,4}(?:please )?rewrite (?:this|the) (?:question|answer)\b|^\W{0,4}请?改写(?:这个|该)?(?:问题|答案)",
        r"[\[<](?:insert|your|the|rewritten|new) [\w ]{1,30}[\]>]",
        r"<\|?/?(?:im_start|im_end|endoftext|system|user|assistant|think|eot_id)\|?>|\[/?INST\]",
        r"^\W{0,4}(?:您的|你的|我的|新的?|最终的?|参考|标准|正确的?|完整的?|(?:改写|优化|修改|润色|重写|修订|生成|补充|补全)后?的?)?"
        r"(?:问题|答案|回答|回复|提问|输出|用户|助手|问|答)(?:是|为|如下)?\W{0,3}[:：]",
        r"(?:改写|优化|修改|润色|重写|修订|整理)(?:之?后|过)的?(?:问题|答案|回答|版本|文本|内容|问答)",
        r"\A\W*(?:(?:好的|当然|没问题|可以)\W*)?(?:以下|下面|这)是[^\n]{0,40}[:：]",
    )
)


def instruction_ngrams(text: str) -> frozenset[tuple[str, ...]]:
    """The word n-grams of an instruction that no reply may repeat."""
    return frozenset(_ngrams(split_units(text), _echo_length(text)))


def judge_reply(text: str, context: ReplyContext) -> Verdict:
    """The first fault of a reply, or ACCEPTED."""
    for verdict, is_at_fault in _CHECKS:
        if is_at_fault(text, context):
            return verdict
    return Verdict.ACCEPTED


def same_text(left: str, right: str) -> bool:
    """Whether two texts have the same words in the same order."""
    return split_units(left) == split_units(right)


def asks_something(text: str) -> bool:
    """Whether a text has a question mark."""
    return "?" in text or "？" in text


def _is_empty(text: str, context: ReplyContext) -> bool:
    return not split_units(text)


def _is_refusal(text: str, context: ReplyContext) -> bool:
    original = context.original or ""
    return any(pattern.search(text[:_REFUSAL_SPAN]) and not pattern.search(original) for pattern in _REFUSALS)


def _leaks_label(text: str, context: ReplyContext) -> bool:
    original = context.original or ""
    return any(pattern.search(text) and not pattern.search(original) for pattern in _LEAKS)


def _echoes_prompt(text: str, context: ReplyContext) -> bool:
    length = _echo_length(text)
    said = set(_ngrams(split_units(text), length)) & context.instruction
    return bool(said - set(_ngrams(split_units(context.row_text), length)))


def _is_copied(text: str, context: ReplyContext) -> bool:
    if context.original is not None and same_text(text, context.original):
        return False
    long_enough = len(split_units(text)) >= _COPY_WORDS
    return any(same_text(text, sibling) for sibling in context.siblings) or (
        long_enough and any(same_text(text, shot) for shot in context.shown)
    )


def _is_answered(text: str, context: ReplyContext) -> bool:
    if not context.withheld:
        return False
    original = context.original or ""
    if context.original is not None:
        length = _echo_length(text) // 2 + 1
        told = set(_ngrams(split_units(text), length)) - set(_ngrams(split_units(original), length))
        if told & set(_ngrams(split_units(context.withheld), length)):
            return True
    if len(context.withheld.encode()) < _MIN_ANSWER_BYTES:
        return False
    return _contains(text, context.withheld) and not _contains(original, context.withheld)


def _is_no_question(text: str, context: ReplyContext) -> bool:
    return context.asks and not asks_something(text)


def _is_repetitive(text: str, context: ReplyContext) -> bool:
    share = _distinct_share(text)
    return share < _MIN_DISTINCT_SHARE and share < _distinct_share(context.original or "")


def _is_wrong_language(text: str, context: ReplyContext) -> bool:
    if len(split_units(text)) < _COPY_WORDS or not context.row_text:
        return False
    row, reply = cjk_share(context.row_text), cjk_share(text)
    return (row >= 0.5 and reply < 0.2) or (row < 0.2 and reply >= 0.5)


def _is_too_long(text: str, context: ReplyContext) -> bool:
    num_words = len(split_units(text))
    if num_words > context.limits.max_words:
        return True
    if context.original is None:
        return False
    before = len(split_units(context.original))
    return num_words > max(before * context.limits.max_length_ratio, before + context.limits.slack_words)


def _is_too_short(text: str, context: ReplyContext) -> bool:
    before = _distinct_words(context.original or "")
    return before > context.limits.slack_words and len(split_units(text)) < before * context.limits.min_length_ratio


def _is_off_topic(text: str, context: ReplyContext) -> bool:
    if context.original is None:
        return False
    words, row = split_units(text), set(split_units(context.row_text))
    return sum(1 for word in words if word in row) < context.limits.min_overlap * len(words)


_CHECKS: tuple[tuple[Verdict, Callable[[str, ReplyContext], bool]], ...] = (
    (Verdict.EMPTY, _is_empty),
    (Verdict.REFUSED, _is_refusal),
    (Verdict.LABEL_LEAK, _leaks_label),
    (Verdict.PROMPT_ECHO, _echoes_prompt),
    (Verdict.COPIED, _is_copied),
    (Verdict.ANSWERED, _is_answered),
    (Verdict.NOT_A_QUESTION, _is_no_question),
    (Verdict.REPETITIVE, _is_repetitive),
    (Verdict.WRONG_LANGUAGE, _is_wrong_language),
    (Verdict.TOO_LONG, _is_too_long),
    (Verdict.TOO_SHORT, _is_too_short),
    (Verdict.OFF_TOPIC, _is_off_topic),
)

_MIN_ANSWER_BYTES = 4
_COPY_WORDS = 6
_MIN_DISTINCT_SHARE = 0.6
_LOOP_WORDS = 9
_LOOP_NGRAM = 3
_ECHO_WORDS = 7
_ECHO_CJK_CHARS = 12
_TAG = re.compile(r"<[^<>]{1,200}>")
_SENTENCE = re.compile(r"[^.!?。！？\n]+")


def _echo_length(text: str) -> int:
    return _ECHO_CJK_CHARS if cjk_share(text) >= 0.5 else _ECHO_WORDS


def _ngrams(words: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + n]) for start in range(len(words) - n + 1))


def _contains(text: str, part: str) -> bool:
    words = tuple(split_units(part))
    return bool(words) and words in _ngrams(split_units(text), len(words))


def _distinct_share(text: str) -> float:
    """The share of word n-grams that are distinct, in [0, 1]; 1 for texts too short to loop."""
    words = split_units(text)
    grams = Counter(_ngrams(words, _LOOP_NGRAM))
    return len(grams) / grams.total() if len(words) >= _LOOP_WORDS else 1.0


def _distinct_words(text: str) -> int:
    """How many words a text has without its tags and repeated sentences, which a good rewrite leaves out."""
    sentences = {tuple(split_units(sentence)) for sentence in _SENTENCE.findall(_TAG.sub(" ", text))}
    return sum(len(sentence) for sentence in sentences)
