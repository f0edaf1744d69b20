"""A conversation in the forms that chat templates take.

Templates differ in what they know: tools and calls of them, reasoning, a system role, roles that do not alternate.
What a template does not know is written into the text of the turns, so that nothing is left out of training in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from operators.rows.conversation import Message, carries_loss

TEMPLATE_KEYS = ("tool_calls", "tool_call_id", "name", "reasoning_content")
"""The keys of a turn, beside role and content, that templates read."""

Tool = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Messages, and the tools that the assistant may call."""

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()


def chat_of(messages: Sequence[Message], tools: object = None) -> Chat:
    """The conversation as templates read it: arguments of calls as objects, tools as functions.

    Empty turns are left out, but for the last.
    """
    kept = [_for_template(message) for message in messages[:-1] if message["content"] or message.get("tool_calls")]
    return Chat(messages=[*kept, _for_template(messages[-1])], tools=tools_of(tools))


def tools_of(value: object) -> tuple[Tool, ...]:
    """Definitions of tools out of a cell: JSON text or nested values, wrapped as functions or bare."""
    value = _parsed(value) if isinstance(value, str) else value
    items = value if isinstance(value, list) else [value]
    tools = [_without_nulls(item) for item in items if isinstance(item, dict) and item]
    return tuple(tool if "function" in tool else {"type": "function", "function": tool} for tool in tools)


def forms_of(chat: Chat) -> Iterator[Chat]:
    """The forms in which to offer a conversation to a template, the richest first."""
    yield chat
    if chat.tools or any(set(message) & set(TEMPLATE_KEYS) for message in chat.messages):
        chat = Chat(messages=spelled_out(chat))
        yield chat
    yield Chat(messages=without_system(chat.messages))
    yield Chat(messages=merged_turns(without_system(chat.messages)))


def is_said(chat: Chat, text: str) -> bool:
    """Whether a rendered text names what templates leave out when they do not know it."""
    return all(mark in text for mark in _marks(chat))


def _marks(chat: Chat) -> Iterator[str]:
    yield from (str(tool["function"].get("name", "")) for tool in chat.tools)
    for message in chat.messages:
        yield from (str(call["function"].get("name", "")) for call in message.get("tool_calls", ()))
        if message["role"] in ("system", "tool"):
            yield from re.findall(r"\w+", message["content"])[:1]
    yield from re.findall(r"\w+", chat.messages[-1].get("reasoning_content") or "")[:1]


def spelled_out(chat: Chat) -> list[Message]:
    """Tools, calls, results and reasoning as text of system, assistant and user turns."""
    messages: list[Message] = []
    if chat.tools:
        lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in chat.tools)
        messages.append({"role": "system", "content": f"<tools>\n{lines}\n</tools>"})
    for message in chat.messages:
        if message["role"] == "tool":
            content = f"<tool_response>\n{message['content']}\n</tool_response>"
            messages.append({"role": "user", "content": content})
        else:
            spelled = {key: value for key, value in message.items() if key not in TEMPLATE_KEYS}
            messages.append({**spelled, "content": _spelled_content(message)})
    if len(messages) > 1 and messages[0]["role"] == messages[1]["role"] == "system":
        tools = messages.pop(0)
        messages[0] = {"role": "system", "content": f"{messages[0]['content']}\n\n{tools['content']}"}
    return messages


def _spelled_content(message: Message) -> str:
    reasoning = message.get("reasoning_content")
    parts = [f"<think>\n{reasoning}\n</think>"] if reasoning else []
    parts += [message["content"]] if message["content"] else []
    for call in message.get("tool_calls", ()):
        said = {"name": call["function"].get("name"), "arguments": call["function"].get("arguments")}
        parts.append(f"<tool_call>\n{json.dumps(said, ensure_ascii=False)}\n</tool_call>")
    return "\n".join(parts)


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The messages with system text put in front of the turn after it, for templates that know no system role."""
    kept: list[Message] = []
    waiting = ""
    for message in messages:
        if message["role"] == "system":
            waiting += message["content"] + "\n\n"
        else:
            kept.append({**message, "content": waiting + message["content"]})
            waiting = ""
    return [*kept, {"role": "user", "content": waiting.strip()}] if waiting else kept


def merged_turns(messages: Sequence[Message]) -> list[Message]:
    """Neighbouring turns of one role joined and no assistant turn first, for templates that want roles to alternate.

    Turns of which one carries loss and the other does not stay apart.
    """
    merged: list[Message] = []
    for message in messages:
        if merged and _is_alike(merged[-1], message):
            merged[-1] = {**message, "content": merged[-1]["content"] + "\n\n" + message["content"]}
        elif merged or message["role"] != "assistant":
            merged.append(message)
    return merged


def _is_alike(one: Message, other: Message) -> bool:
    return one["role"] == other["role"] and carries_loss(one) == carries_loss(other)


def _for_template(message: Message) -> Message:
    kept: Message = {"role": message["role"], "content": message["content"] or ""}
    kept.update({key: message[key] for key in TEMPLATE_KEYS if message.get(key)})
    if message["role"] == "assistant" and not carries_loss(message):
        kept["weight"] = 0
    if "tool_calls" in kept:
        calls = kept["tool_calls"] if isinstance(kept["tool_calls"], list) else [kept["tool_calls"]]
        kept["tool_calls"] = [_call(call) for call in calls if isinstance(call, dict)]
    return kept


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """A call whose arguments are an object where they are the JSON text of one, as templates write them."""
    function = call.get("function", call)
    function = dict(function) if isinstance(function, dict) else {"name": str(function)}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        parsed = _parsed(arguments)
        function["arguments"] = parsed if isinstance(parsed, dict) else arguments
    return {"type": "function", **{key: call[key] for key in ("id",) if key in call}, "function": function}


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - what JSON holds
    """Nested columns fill in every key that some row has: what is null there was not in the source."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
