"""Reads what a language model replied: its text without wrapping, or a question-answer pair out of sloppy JSON.

Knows how replies are written, not whether they are good (see reply_guards.py).
"""

from __future__ import annotations

import json
import re

import json_repair

PAIR_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
        "required": ["question", "answer"],
        "additionalProperties": False,
    }
)
"""JSON schema of a question-answer pair, for guided decoding."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_CJK_CHAR = re.compile(rf"[{_CJK}]")
_THINKING = re.compile(r"<think>.*?</think>|^.*?</think>", re.DOTALL)
_FENCE = re.compile(r"^```[\w-]*\n(.*?)\n?```$", re.DOTALL)
_QUOTES = (('"', '"'), ("“", "”"), ("「", "」"), ("'", "'"))
_LABELLED_PAIR = re.compile(
    r"(?:question|问题|提问|问)\W{0,3}[:：]\W{0,3}\s*(?P<question>.+?)\s*"
    r"(?:^|\n)\W{0,3}(?:answer|答案|回答|答)\W{0,3}[:：]\W{0,3}\s*(?P<answer>.+)",
    re.DOTALL | re.IGNORECASE,
)


def split_words(text: str) -> list[str]:
    """Lower-case words; every CJK character counts as a word of its own."""
    return _WORD.findall(text.lower())


def cjk_share(text: str) -> float:
    """The share of words that are CJK characters, in [0, 1]."""
    words = split_words(text)
    return sum(1 for word in words if _CJK_CHAR.match(word)) / len(words) if words else 0.0


def unwrap_text(reply: str) -> str:
    """The reply without its thinking, its code fence and the quotes around the whole of it."""
    text = _THINKING.sub("", reply, count=1).strip()
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    for opening, closing in _QUOTES:
        inner = text[1:-1]
        if len(text) > 1 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(inner):
            return inner.strip()
    return text


def parse_pair(reply: str) -> tuple[str, str] | None:
    """Question and answer of a reply in JSON, sloppy JSON or labelled lines; None where there is no such pair."""
    text = _THINKING.sub("", reply, count=1).strip()
    start = text.find("{")
    if start >= 0 and (pair := _pair_of(json_repair.loads(text[start:]))):
        return pair
    if labelled := _LABELLED_PAIR.search(text):
        return labelled["question"].strip(), labelled["answer"].strip()
    return None


def _pair_of(value: object) -> tuple[str, str] | None:
    if isinstance(value, list) and value:
        return _pair_of(value[0])
    if not isinstance(value, dict):
        return None
    fields = {str(key).strip().lower(): field for key, field in value.items()}
    question = fields.get("question", fields.get("问题"))
    answer = fields.get("answer", fields.get("答案", fields.get("回答")))
    if isinstance(question, str) and isinstance(answer, str):
        return question.strip(), answer.strip()
    return None
