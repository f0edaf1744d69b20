"""The part of OpenAI's chat API that we speak: requests in, replies, stream events and errors out.

Everything from outside is validated here. A field that we do not know is ignored, except those that would change
the result (`n`, `tools`, `logprobs`), which are refused: such a request is never half obeyed.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.llm.row import GenerationReply, GenerationRequest


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)
    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[_Part, ...]

    def pair(self) -> tuple[str, str]:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return ("system" if self.role == "developer" else self.role, text)


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


class _StructuredOutputs(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    choice: tuple[str, ...] = ()
    json_: dict[str, Any] | None = Field(default=None, alias="json")


class _StreamOptions(BaseModel):
    model_config = ConfigDict(frozen=True)
    include_usage: bool = False


class ChatBody(BaseModel):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    messages: tuple[_Message, ...] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    n: Literal[1] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    response_format: _ResponseFormat | None = None
    guided_choice: tuple[str, ...] | None = None
    guided_json: dict[str, Any] | None = None
    structured_outputs: _StructuredOutputs | None = None
    tools: None = None
    logprobs: Literal[False] | None = None

    @model_validator(mode="after")
    def _is_guided_once(self) -> ChatBody:
        if self.choices() and self.json_schema() is not None:
            raise ValueError("ask either for a choice or for a JSON schema, not for both")
        if not all(self.choices()) or not all(self.stops()):
            raise ValueError("an empty choice or stop string")
        return self

    def choices(self) -> tuple[str, ...]:
        """The strings of which the reply must be one; empty for any reply."""
        return self.guided_choice or (self.structured_outputs.choice if self.structured_outputs else ())

    def stops(self) -> tuple[str, ...]:
        """The strings that end the reply."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()

    def json_schema(self) -> str | None:
        """JSON text of the schema that the reply must follow, or None."""
        if self.response_format is not None and self.response_format.json_schema is not None:
            return json.dumps(self.response_format.json_schema.schema_)
        if self.response_format is not None and self.response_format.type == "json_object":
            return '{"type": "object"}'
        given = self.guided_json or (self.structured_outputs.json_ if self.structured_outputs else None)
        return None if given is None else json.dumps(given)

    def generation(self, *, default_max_tokens: int) -> GenerationRequest:
        """What the engine is asked for; without a seed, a fresh one is drawn."""
        return GenerationRequest(
            messages=tuple(message.pair() for message in self.messages),
            max_tokens=self.max_completion_tokens or self.max_tokens or default_max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=secrets.randbits(62) if self.seed is None else self.seed,
            stop=self.stops(),
            json_schema=self.json_schema(),
            choices=self.choices(),
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


def models_body(*, model: str, revision: str, max_model_len: int) -> dict[str, object]:
    """The body of GET /v1/models; `revision` identifies what shapes a reply."""
    card = {"id": model, "object": "model", "created": 0, "owned_by": "autodp_ray"}
    return {"object": "list", "data": [{**card, "revision": revision, "max_model_len": max_model_len}]}


def error_body(message: str, *, kind: str, code: str | None = None) -> dict[str, object]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def sse(event: dict[str, object] | Literal["[DONE]"]) -> str:
    """An event in the text form of server-sent events."""
    return f"data: {event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)}\n\n"
