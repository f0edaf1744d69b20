"""Judges a received reply before it may become part of a row: each fault has a name, and the first one found counts.

Judges by surface alone (English and Chinese): refusals, leaked labels, echoes of the prompt, loops, lengths, drift,
half sentences. It cannot tell a false statement from a true one. A fault that the original text has too is no fault of
the reply.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from operators.replies.language import is_other_language
from operators.replies.leaks import leaks
from operators.replies.parsing import cjk_share
from operators.replies.refusals import refuses
from operators.replies.verdict import Verdict
from operators.texts.sentence_ends import breaks_off
from operators.texts.text import split_units

__all__ = [
    "ReplyContext",
    "ReplyLimits",
    "Verdict",
    "asks_something",
    "instruction_ngrams",
    "judge_reply",
    "same_text",
]


class ReplyLimits(BaseModel):
    """How far a reply may go. Lengths are in words; a CJK character is a word, and so are 20 characters of any kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_length_ratio: float = Field(default=3.0, gt=1.0)
    """The longest reply, as a multiple of the text that it is measured by."""
    min_length_ratio: float = Field(default=0.2, ge=0.0, lt=1.0)
    """The shortest reply, as a share of that text."""
    slack_words: int = Field(default=20, ge=0)
    """Texts may grow by this many words whatever the ratio, and texts this short may shrink freely."""
    max_words: int = Field(default=2000, ge=1)
    """The longest reply in any case, in words."""
    min_overlap: float = Field(default=0.15, ge=0.0, le=1.0)
    """The smallest share of its words that a rewrite has in common with the row."""


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


def _is_beyond_use(text: str, context: ReplyContext) -> bool:
    return len(text) > context.limits.max_words * _WORD_CHARS


def _is_empty(text: str, context: ReplyContext) -> bool:
    return not split_units(text)


def _is_refusal(text: str, context: ReplyContext) -> bool:
    return refuses(text, original=context.original or "", is_question=bool(context.withheld))


def _leaks_label(text: str, context: ReplyContext) -> bool:
    return leaks(text, original=context.original, row_text=context.row_text)


def _breaks_off(text: str, context: ReplyContext) -> bool:
    return breaks_off(text, original=None if context.withheld else context.original)


def _echoes_prompt(text: str, context: ReplyContext) -> bool:
    length = _echo_length(text)
    said = set(_ngrams(split_units(text), length)) & context.instruction
    return bool(said - set(_ngrams(split_units(context.row_text), length)))


def _is_copied(text: str, context: ReplyContext) -> bool:
    if context.original is not None and same_text(text, context.original):
        return False
    if any(same_text(text, sibling) for sibling in context.siblings):
        return True
    return any(_repeats(text, shot) for shot in context.shown) or any(
        asks_something(sibling) and not context.withheld and _begins_with(text, sibling, context)
        for sibling in context.siblings
    )


def _repeats(text: str, shot: str) -> bool:
    """Whether a text of some length is the shot, or holds a long one whole."""
    length = len(split_units(shot))
    return (length >= _COPY_WORDS and same_text(text, shot)) or (length >= _HELD_WORDS and _contains(text, shot))


def _begins_with(text: str, question: str, context: ReplyContext) -> bool:
    """Whether an answer begins by repeating its whole question, which the original does not."""
    asked = split_units(question)
    if len(asked) < _COPY_WORDS or split_units(context.original or "")[: len(asked)] == asked:
        return False
    return split_units(text)[: len(asked)] == asked and asks_something(text)


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
    """A rewrite has the language of its original; what fills a gap has that of the row, unless it asks otherwise."""
    if context.original is not None and len(split_units(context.original)) >= _COPY_WORDS:
        return is_other_language(text, like=context.original)
    return is_other_language(text, like=context.row_text, asked=context.row_text)


def _is_too_long(text: str, context: ReplyContext) -> bool:
    length = _length(text)
    if length > context.limits.max_words or _has_endless_word(text, context):
        return True
    if context.original is None:
        return False
    before = _length(context.original)
    return length > max(before * context.limits.max_length_ratio, before + context.limits.slack_words)


def _length(text: str) -> int:
    return max(len(split_units(text)), len(text) // _WORD_CHARS)


def _has_endless_word(text: str, context: ReplyContext) -> bool:
    return any(word not in context.row_text for word in _ENDLESS_WORD.findall(text))


def _is_too_short(text: str, context: ReplyContext) -> bool:
    before = _distinct_words(context.original or "")
    return before > context.limits.slack_words and len(split_units(text)) < before * context.limits.min_length_ratio


def _is_off_topic(text: str, context: ReplyContext) -> bool:
    if context.original is None:
        return False
    words, row = split_units(text), set(split_units(context.row_text))
    return sum(1 for word in words if word in row) < context.limits.min_overlap * len(words)


_CHECKS: tuple[tuple[Verdict, Callable[[str, ReplyContext], bool]], ...] = (
    (Verdict.TOO_LONG, _is_beyond_use),
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
    (Verdict.TRUNCATED, _breaks_off),
    (Verdict.TOO_SHORT, _is_too_short),
    (Verdict.OFF_TOPIC, _is_off_topic),
)

_MIN_ANSWER_BYTES = 4
_COPY_WORDS = 6
_HELD_WORDS = 12
_WORD_CHARS = 20
_ENDLESS_WORD = re.compile(r"[^\W_\u3000-\U0003ffff]{257,}")
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
    words = _joined(part)
    return len(words) > 1 and words in _joined(text)


def _joined(text: str) -> str:
    """The words with a mark before, between and after them, so that one text is searched in another in linear time."""
    return "".join(("\n", *(f"{word}\n" for word in split_units(text))))


def _distinct_share(text: str) -> float:
    """The share of word n-grams that are distinct, in [0, 1]; 1 for texts too short to loop."""
    words = split_units(text)
    grams = Counter(_ngrams(words, _LOOP_NGRAM))
    return len(grams) / grams.total() if len(words) >= _LOOP_WORDS else 1.0


def _distinct_words(text: str) -> int:
    """How many words a text has without its tags and repeated sentences, which a good rewrite leaves out."""
    sentences = {tuple(split_units(sentence)) for sentence in _SENTENCE.findall(_TAG.sub(" ", text))}
    return sum(len(sentence) for sentence in sentences)
