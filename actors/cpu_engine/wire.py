"""The part of OpenAI's chat API that we speak: requests in, replies, stream events and errors out.

Everything from outside is validated here. A field is obeyed, or refused by its name: such a request is never half
obeyed. Two kinds of fields are accepted without effect: those that say what would happen anyway (NEUTRAL), and those
that never touch a reply (HARMLESS).
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.cpu_engine.row import GenerationReply, GenerationRequest
from actors.models.chat_forms import Chat, chat_of, spelled_out

NEUTRAL: dict[str, tuple[object, ...]] = {
    "add_generation_prompt": (True,),
    "bad_words": ([],),
    "best_of": (1,),
    "continue_final_message": (False,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "ignore_eos": (False,),
    "include_stop_str_in_output": (False,),
    "length_penalty": (1,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "n": (1,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "stop_token_ids": ([],),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_k": (-1, 0),
    "top_logprobs": (0,),
    "use_beam_search": (False,),
}
"""Fields that we do not obey, with the values that ask for nothing."""
HARMLESS = frozenset(
    (
        "cache_salt",
        "metadata",
        "parallel_tool_calls",
        "priority",
        "prompt_cache_key",
        "prompt_cache_retention",
        "request_id",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    )
)
"""Fields for accounting and routing."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[_Part, ...] | None = None
    tool_calls: tuple[dict[str, Any], ...] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> _Message:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a message of role {self.role} needs content")
        return self

    def plain(self) -> dict[str, Any]:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content or ())
        calls = {"tool_calls": list(self.tool_calls)} if self.tool_calls else {}
        return {"role": "system" if self.role == "developer" else self.role, "content": text, **calls}


class _JsonSchema(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str = "reply"
    schema_: dict[str, Any] | bool = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class _ResponseFormat(BaseModel):
    model_config = ConfigDict(frozen=True)
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None

    @model_validator(mode="after")
    def _has_schema(self) -> _ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("response_format of type json_schema needs json_schema.schema")
        return self


class _StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True)
    include_usage: bool = False


class ChatBody(BaseModel):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    messages: tuple[_Message, ...] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    response_format: _ResponseFormat | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_idle_fields(cls, body: object) -> object:
        """Leaves out what asks for nothing: null, HARMLESS fields, and NEUTRAL values."""
        if not isinstance(body, dict):
            return body
        asking = {name: value for name, value in body.items() if value is not None and name not in HARMLESS}
        return {name: value for name, value in asking.items() if value not in NEUTRAL.get(name, ())}

    @model_validator(mode="after")
    def _stop_strings_hold_something(self) -> ChatBody:
        if not all(self.stops()):
            raise ValueError("an empty stop string")
        return self

    def stops(self) -> tuple[str, ...]:
        """The strings that end the reply."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()

    def json_schema(self) -> str | None:
        """JSON text of the schema that the reply must follow, or None."""
        if self.response_format is not None and self.response_format.json_schema is not None:
            return json.dumps(self.response_format.json_schema.schema_)
        if self.response_format is not None and self.response_format.type == "json_object":
            return '{"type": "object"}'
        return None

    def generation(self, *, default_max_tokens: int) -> GenerationRequest:
        """What the engine is asked for; without a seed, a fresh one is drawn."""
        messages = [message.plain() for message in self.messages]
        if any(message["role"] == "tool" or "tool_calls" in message for message in messages):
            messages = spelled_out(Chat(messages=chat_of(messages).messages))
        return GenerationRequest(
            messages=tuple((message["role"], message["content"]) for message in messages),
            max_tokens=self.max_completion_tokens or self.max_tokens or default_max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=secrets.randbits(62) if self.seed is None else self.seed,
            stop=self.stops(),
            json_schema=self.json_schema(),
            template_options=tuple((self.chat_template_kwargs or {}).items()),
        )


def new_reply_id() -> str:
    """A fresh id of a reply."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def reply_body(reply: GenerationReply, *, model: str, revision: str) -> dict[str, object]:
    """The body that answers a request which does not stream."""
    message = {"role": "assistant", "content": reply.text}
    return {
        "id": new_reply_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": revision,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason, "logprobs": None}],
        "usage": usage_body(reply),
    }


def usage_body(reply: GenerationReply) -> dict[str, int]:
    """Token counts of a reply."""
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "total_tokens": reply.prompt_tokens + reply.completion_tokens,
    }


def stream_event(
    *, reply_id: str, model: str, delta: dict[str, str], finish_reason: str | None = None
) -> dict[str, object]:
    """One event of a streamed reply."""
    return {
        "id": reply_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def usage_event(reply: GenerationReply, *, reply_id: str, model: str) -> dict[str, object]:
    """The last event of a stream that asked for its usage."""
    event = stream_event(reply_id=reply_id, model=model, delta={})
    return {**event, "choices": [], "usage": usage_body(reply)}


def model_card(*, model: str, revision: str, max_model_len: int) -> dict[str, object]:
    """The body of GET /v1/models/ID; `revision` identifies what shapes a reply."""
    card = {"id": model, "object": "model", "created": 0, "owned_by": "autodp_ray"}
    return {**card, "revision": revision, "max_model_len": max_model_len}


def error_body(message: str, *, kind: str, code: str | None = None) -> dict[str, object]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def sse(event: dict[str, object] | Literal["[DONE]"]) -> str:
    """An event in the text form of server-sent events."""
    return f"data: {event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)}\n\n"
