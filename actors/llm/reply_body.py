"""Reads the body of a chat completion, whatever it holds: a completion, a refusal inside, or no completion at all.

Nothing is taken on trust: a body comes from outside, and its text goes into the dataset. Reasoning that comes in fields
of its own is never part of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from operators.contract.resources import Completion

MAX_TOKENS_COUNTED = 10**8
"""A count of tokens beyond this is none."""
STOP, LENGTH, FILTERED, UNKNOWN = "stop", "length", "filtered", "unknown"
_STOPPED = frozenset(
    {"stop", "eos", "eostoken", "eosfound", "endturn", "endoftext", "stopsequence", "stoptoken", "stopstring"}
    | {"complete", "completed", "finish", "finished", "done", "end", "stopped", "matchedstop", "stopeos"}
)
_CUT = frozenset(
    {"length", "maxtokens", "maxlength", "modellength", "maxoutputtokens", "maxnewtokens", "maxcompletiontokens"}
    | {"tokenlimit", "contextlength", "contextwindow", "contextlengthexceeded", "modelcontextwindowexceeded"}
    | {"truncated", "incomplete", "limit", "maxtokensreached", "tokenlimitreached", "lengthcapped"}
)
_REFUSED = frozenset(
    {"contentfilter", "contentfiltered", "safety", "recitation", "blocklist", "blocked", "prohibitedcontent", "spii"}
    | {"sensitive", "refusal", "moderation", "flagged", "guardrailintervened", "imagesafety", "contentblocked"}
    | {"policyviolation", "language"}
)
_ABANDONED = frozenset(
    {"abort", "aborted", "cancelled", "canceled", "cancel", "error", "failed", "failure", "networkerror", "timeout"}
    | {"insufficientsystemresource", "servererror", "internalerror", "unavailable"}
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TEXT_PARTS = frozenset({"text", "output_text"})


class NoCompletionError(Exception):
    """A body that holds no completion; the message says what is wrong and quotes nothing."""


def read_json(body: bytes) -> object:
    """The JSON of a body. Raises: NoCompletionError."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NoCompletionError("a body that is no UTF-8") from None
    if not text.strip():
        raise NoCompletionError("an empty body")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NoCompletionError("a body that is no JSON") from None


def refusal_inside(said: object) -> Mapping[str, Any] | None:
    """What stands for the error in a body that came with status 200, as some gateways send it."""
    if not isinstance(said, dict) or said.get("choices"):
        return None
    base = said.get("base_resp")
    if said.get("error") or (isinstance(base, dict) and base.get("status_code")):
        return said
    return None


def completion_of(said: object, *, max_tokens: int) -> Completion:
    """The first choice; an unknown end after `max_tokens` is one by length.

    Raises: NoCompletionError where there is none, or the server gave it up half-way.
    """
    choices = said.get("choices") if isinstance(said, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(said, dict) or not isinstance(choice, dict) or not isinstance(message, dict):
        raise NoCompletionError("a body that is no chat completion")
    reason = finish_reason(choice.get("finish_reason"))
    text = _text(message.get("content"))
    if message.get("refusal") and not text:
        reason = FILTERED
    if (sound := _sound(text)) != text:
        text, reason = sound, LENGTH  # half a character: it broke off there
    usage = said.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    num_tokens = _count(usage.get("completion_tokens"))
    if reason == UNKNOWN and num_tokens >= max_tokens:
        reason = LENGTH
    return Completion(
        text="" if reason == FILTERED else text,
        finish_reason=reason,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=num_tokens,
    )


def finish_reason(said: object) -> str:
    """One of `stop`, `length`, `filtered` and `unknown`, whatever a service calls it.

    Raises: NoCompletionError where the server says that it gave the reply up.
    """
    word = re.sub(r"[^a-z]", "", said[:80].lower()) if isinstance(said, str) else ""
    word = word.removeprefix("finishreason")
    if word in _ABANDONED:
        raise NoCompletionError(f"a reply that ends in {word!r}")
    for known, reason in ((_STOPPED, STOP), (_CUT, LENGTH), (_REFUSED, FILTERED)):
        if word in known:
            return reason
    return UNKNOWN


def _text(content: object) -> str:
    """A text, or the text parts of a list joined; parts that hold reasoning or images are left out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise NoCompletionError("a message whose content is no text")
    return "".join(_part_text(part) for part in content)


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if isinstance(part, dict) and isinstance(kind, str):
        text = part.get("text") if kind in _TEXT_PARTS else ""
        if isinstance(text, str):
            return text
    raise NoCompletionError("a message whose content has a part that is no text")


def _sound(text: str) -> str:
    """The text with halves of characters, which UTF-8 cannot carry, replaced."""
    return _SURROGATE.sub("\ufffd", text)


def _count(value: object) -> int:
    """A count of tokens; what cannot be one counts nothing, so that it never lowers what was spent."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 <= value <= MAX_TOKENS_COUNTED and value == int(value) else 0
