"""Reads what a language model replied: its text without wrapping, or the fields of a pair out of sloppy JSON.

Knows how replies are written, not whether they are good (see reply_guards.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import json_repair
from pydantic import BaseModel, ValidationError

from operators.text import split_units

Reply = TypeVar("Reply", bound=BaseModel)

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_CJK_CHAR = re.compile(rf"[{_CJK}]")
_KEYS = {"question": "question", "问题": "question", "answer": "answer", "答案": "answer", "回答": "answer"}
_THINKING = re.compile(r"<think>.*?</think>|^.*?</think>", re.DOTALL)
_FENCE = re.compile(r"^```[\w-]*\n(.*?)\n?```$", re.DOTALL)
_QUOTES = (('"', '"'), ("“", "”"), ("「", "」"), ("'", "'"))
_JSON_REMAINS = re.compile(r"([.?!。？！])\"?\s*,\s*\"?$")
"""What weak models leave behind the end of a text when they mean to end the JSON string."""
_LABELLED_PAIR = re.compile(
    r"(?:question|问题|提问|问)\W{0,3}[:：]\W{0,3}\s*(?P<question>.+?)\s*"
    r"(?:^|\n)\W{0,3}(?:answer|答案|回答|答)\W{0,3}[:：]\W{0,3}\s*(?P<answer>.+)",
    re.DOTALL | re.IGNORECASE,
)


def cjk_share(text: str) -> float:
    """The share of words that are CJK characters, in [0, 1]."""
    words = split_units(text)
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


def fields_schema(names: Sequence[str]) -> str:
    """JSON schema of an object with these text fields, for guided decoding."""
    return json.dumps(
        {
            "type": "object",
            "properties": {name: {"type": "string"} for name in names},
            "required": list(names),
            "additionalProperties": False,
        }
    )


def parse_object(reply: str, schema: type[Reply]) -> Reply | None:
    """What a reply says in JSON, also in sloppy JSON; None where it does not say just that."""
    text = reply.rpartition("</think>")[2]
    start = text.find("{")
    if start < 0:
        return None
    try:
        found: object = json_repair.loads(text[start:])
        return schema.model_validate(found if isinstance(found, Mapping) else None)
    except ValidationError:
        return None


def parse_fields(reply: str, names: Sequence[str]) -> dict[str, str] | None:
    """The named fields out of JSON, sloppy JSON or labelled lines; None where a reply does not have them all.

    A reply that is plain text stands for the field where only one is asked for.
    """
    text = _THINKING.sub("", reply, count=1).strip()
    start = text.find("{")
    if start >= 0:
        found = _fields_of(json_repair.loads(text[start:]), names)
        return found or (
            None if len(names) > 1 or start == 0 or text.startswith("```") else {names[0]: unwrap_text(text)}
        )
    if len(names) == 1:
        return {names[0]: unwrap_text(text)}
    labelled = _LABELLED_PAIR.search(text)
    return {name: labelled[name].strip() for name in names} if labelled else None


def _fields_of(value: object, names: Sequence[str]) -> dict[str, str] | None:
    if isinstance(value, list) and value:
        return _fields_of(value[0], names)
    if not isinstance(value, dict):
        return None
    keys = {_KEYS.get(str(key).strip().lower(), str(key)): field for key, field in value.items()}
    found = {name: _JSON_REMAINS.sub(r"\1", keys[name].strip()) for name in names if isinstance(keys.get(name), str)}
    return found if len(found) == len(names) else None
