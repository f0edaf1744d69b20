"""Reads what a language model replied: the fields of a pair out of JSON, sloppy JSON or labelled lines, or plain text.

Knows how replies are written, not whether they are good (see guards.py). A reply that breaks off is truncated,
whatever its endpoint says. Reasoning is left out (see reasoning.py), wrappings are taken off (see wrappings.py),
and control tokens that were escaped in the prompt come back as they were (see control_tokens.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from operators.contract.resources import Completion
from operators.replies.control_tokens import unescape_control_tokens
from operators.replies.loose_json import decode, ends_in_string, repair
from operators.replies.reasoning import reasoning_tags, split_reasoning
from operators.replies.verdict import Verdict
from operators.replies.wrappings import take_off, without_enclosure
from operators.texts.text import split_units

ReplyT = TypeVar("ReplyT", bound=BaseModel)

CUT_REASONS = frozenset({"length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit"})
"""How endpoints say that a reply was cut off."""
MAX_REPLY = 400_000
"""Characters of a reply that is read, reasoning included."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_CJK_CHAR = re.compile(rf"[{_CJK}]")
_KEYS = {"question": "question", "问题": "question", "提问": "question"} | dict.fromkeys(
    ("answer", "答案", "回答", "response"), "answer"
)
_FENCED = re.compile(r"\A```[\w-]{0,20}[ \t]{0,20}\n(.*?)\n?```\Z", re.DOTALL)
_OBJECT = re.compile(
    r"[{｛]\s{0,40}[\"'“”‘’「]?\s{0,4}(?:question|answer|response|问题|提问|答案|回答)\s{0,4}[\"'“”‘’」]?\s{0,4}[:：]",
    re.IGNORECASE,
)
_JSON_REMAINS = re.compile(r"([.?!。？！])\"?\s*,\s*\"?$")
"""What weak models leave behind the end of a text when they mean to end the JSON string."""
_REMAINS = 40
_LABEL_OF = {
    "question": re.compile(r"^\W{0,6}(?:question|问题|提问|问)\W{0,3}[:：]\W{0,3}", re.IGNORECASE | re.MULTILINE),
    "answer": re.compile(r"^\W{0,6}(?:answer|答案|回答|答)\W{0,3}[:：]\W{0,3}", re.IGNORECASE | re.MULTILINE),
}
_BROKEN = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Halves of a character, and control characters, which stand where an escape was misread."""


def cjk_share(text: str) -> float:
    """The share of words that are CJK characters, in [0, 1]."""
    words = split_units(text)
    return sum(1 for word in words if _CJK_CHAR.match(word)) / len(words) if words else 0.0


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


def read_fields(
    reply: Completion, names: Sequence[str], *, originals: Mapping[str, str] | None = None
) -> dict[str, str] | Verdict:
    """The named fields of a reply, or why it cannot be used: TRUNCATED, FILTERED, TOO_LONG, UNREADABLE or
    LABEL_LEAK.

    A reply that is plain text stands for the field where only one is asked for. `originals` are the texts that the
    fields replace: what these have around them, or think aloud in them, is no wrapping of the reply.
    """
    if reply.finish_reason.strip().lower() in CUT_REASONS:
        return Verdict.TRUNCATED
    if reply.finish_reason == "filtered":
        return Verdict.FILTERED
    if len(reply.text) > MAX_REPLY:
        return Verdict.TOO_LONG
    before = dict.fromkeys(names, "") | dict(originals or {})
    found = _find_fields(reply.text, names, before)
    if isinstance(found, Verdict):
        return found
    fields: dict[str, str] = {}
    for name in names:
        text = _without_own_reasoning(unescape_control_tokens(found[name]), before[name])
        if isinstance(text, Verdict):
            return text
        if any(broken not in before[name] for broken in _BROKEN.findall(text)):
            return Verdict.UNREADABLE
        fields[name] = text
    return fields


def parse_fields(reply: str, names: Sequence[str]) -> dict[str, str] | None:
    """The named fields of a reply's text as they are written; None where it does not have them all."""
    found = _find_fields(reply, names, dict.fromkeys(names, ""))
    return None if isinstance(found, Verdict) else found


def unwrap_text(reply: str) -> str:
    """The reply without its reasoning and what stands around its text."""
    return take_off(split_reasoning(reply).reply.strip())


def parse_object(reply: str, schema: type[ReplyT]) -> ReplyT | None:
    """What a reply says in JSON, also in sloppy JSON; None where it does not say just that, or breaks off."""
    text = split_reasoning(reply[-MAX_REPLY:]).reply
    start = text.find("{")
    if start < 0:
        return None
    try:
        return schema.model_validate(_value_of(text[start:]))
    except (ValidationError, ValueError, RecursionError):
        return None


def _find_fields(text: str, names: Sequence[str], originals: Mapping[str, str]) -> dict[str, str] | Verdict:
    text = text.strip()
    whole = _FENCED.match(text)
    if (found := _fields_of(_decoded(whole[1].strip() if whole else text, alone=True), names)) is not None:
        return found
    thoughts = split_reasoning(text)
    text = thoughts.reply.strip()
    if not text and thoughts.unclosed is not None:
        return Verdict.TRUNCATED
    if (start := _object_start(text)) is not None:
        return _fields_at(text, start, names, originals)
    if len(names) == 1:
        return {names[0]: take_off(text, original=originals[names[0]], field=names[0])}
    return _labelled(text, names)


def _object_start(text: str) -> int | None:
    """Where the object that is a reply begins: at the first one with a known key, else at the first brace."""
    if known := _OBJECT.search(text):
        return known.start()
    start = text.find("{")
    return None if start < 0 else start


def _fields_at(text: str, start: int, names: Sequence[str], originals: Mapping[str, str]) -> dict[str, str] | Verdict:
    piece = text[start:].replace("｛", "{", 1)
    value = _decoded(piece)
    found = _fields_of(value, names)
    if found is not None:
        return found
    is_known = _OBJECT.match(piece) is not None
    if len(names) == 1 and not is_known and start > 0 and not text.startswith(("```", "[")):
        return {names[0]: take_off(text, original=originals[names[0]], field=names[0])}
    if value is not None:
        return Verdict.UNREADABLE
    if ends_in_string(piece):
        return Verdict.TRUNCATED
    found = _fields_of(repair(piece), names)
    return found or (Verdict.UNREADABLE if "}" in piece or not is_known else Verdict.TRUNCATED)


def _decoded(text: str, *, alone: bool = False) -> object:
    """The value that a text begins with, None where it is not well-formed; `alone`: and nothing else is in it."""
    if not text.startswith(("{", "[")) or (alone and not text.endswith(("}", "]"))):
        return None
    try:
        return decode(text, alone=alone)
    except ValueError:
        return None


def _value_of(piece: str) -> object:
    found = _decoded(piece)
    return repair(piece) if found is None and not ends_in_string(piece) else found


def _labelled(text: str, names: Sequence[str]) -> dict[str, str] | Verdict:
    """Question and answer after their labels, each at the start of a line."""
    question = _LABEL_OF["question"].search(text)
    answer = _LABEL_OF["answer"].search(text, question.end()) if question else None
    if question is None or answer is None:
        return Verdict.UNREADABLE
    found = {
        "question": text[question.end() : answer.start()].strip(" \t\n*_#"),
        "answer": text[answer.end() :].strip(),
    }
    return {name: found[name] for name in names} if all(found.values()) else Verdict.UNREADABLE


def _fields_of(value: object, names: Sequence[str]) -> dict[str, str] | None:
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    keys = {_KEYS.get(str(key).strip().lower(), str(key)): field for key, field in value.items()}
    found = {name: _without_remains(keys[name].strip()) for name in names if isinstance(keys.get(name), str)}
    return found if len(found) == len(names) else None


def _without_remains(text: str) -> str:
    return text[:-_REMAINS] + _JSON_REMAINS.sub(r"\1", text[-_REMAINS:])


def _without_own_reasoning(text: str, original: str) -> str | Verdict:
    """A field without the model's reasoning; where the row has such tags in its midst, they must be as they were."""
    if tags := reasoning_tags(original):
        return text if reasoning_tags(text) == tags else Verdict.LABEL_LEAK
    thoughts = split_reasoning(text)
    if thoughts.unclosed is not None:
        return Verdict.TRUNCATED
    return without_enclosure(thoughts.reply, original=original)
