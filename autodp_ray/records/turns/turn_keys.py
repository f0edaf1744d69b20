"""The further keys of a turn in OpenAI's spelling, whatever the dataset calls them: tool calls above all.

Knows one turn at a time; what a conversation is, is in turns.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from operators.rows.conversation import extra_text

TOOL_CALLS = "tool_calls"
_RECORD_KEYS = ("role", "content")


def further_keys(keys: Mapping[str, object]) -> str | None:
    """The keys of a turn beside its role and content, as `extra` holds them; None where nothing is said in them.

    A call's arguments are JSON text as OpenAI has them, and a lone `function_call` is a list of one call.
    """
    found = {key: value for key, value in keys.items() if value is not None and key not in _RECORD_KEYS}
    calls = found.pop(TOOL_CALLS, None)
    if not calls and isinstance(found.get("function_call"), Mapping):
        calls = [found.pop("function_call")]
    if calls:
        found[TOOL_CALLS] = _called(calls)
    return extra_text(found)


def calls_in(text: str | None) -> list[object] | None:
    """The calls that a turn's text spells as JSON, `{"name", "arguments"}` or several; None where it spells none."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    calls = value if isinstance(value, list) else [value]
    is_call = all(isinstance(call, Mapping) and isinstance(_function(call).get("name"), str) for call in calls)
    return [_openai_call(call) for call in calls] if calls and is_call else None


def _called(calls: object) -> object:
    """Calls in OpenAI's spelling; what is no list of calls stays as it is."""
    value = calls
    if isinstance(calls, str):
        try:
            value = json.loads(calls)
        except (ValueError, RecursionError):
            return calls
    listed = value if isinstance(value, list) else [value]
    known = [_openai_call(call) for call in listed if isinstance(call, Mapping)]
    return known if len(known) == len(listed) else calls


def _function(call: Mapping[str, object]) -> Mapping[str, object]:
    inner = call.get("function")
    return inner if isinstance(inner, Mapping) else call


def _openai_call(call: Mapping[str, object]) -> dict[str, object]:
    function = dict(_function(call))
    outer = {key: value for key, value in call.items() if key != "function" and value is not None}
    if function.keys() >= outer.keys():  # no wrapper: the call names its function itself
        outer = {key: function.pop(key) for key in ("id", "type") if function.get(key) is not None}
    arguments = function.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"type": "function", **outer, "function": {**function, "arguments": text}}
