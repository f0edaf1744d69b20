"""How an endpoint wants to be asked: which fields it takes, under which names.

Services that call themselves OpenAI-compatible refuse some of the fields. A form says what is sent; a refusal that
names a field leads to the next form. Knows no HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from actors.llm.refusal import Refusal
from operators.contract.resources import CompletionRequest

LEAST_TEMPERATURE = 0.01
"""For endpoints that take no 0: the likeliest token, nearly always."""
_IN_WORDS = "Reply with one JSON object and nothing else. It follows this JSON schema: "
_POSITIVE = re.compile(r"positive|greater than|more than|larger than|> ?0|\(0|must be above")
_NO_SYSTEM = re.compile(r"system.{0,40}(?:not supported|unsupported|not support|not allowed)|not support 'system'")
_RENAMED_SEED = re.compile(r"random_seed|extra inputs|extra forbidden|extra_forbidden|not permitted")

SchemaForm = Literal["json_schema", "json_object", "prompt"]
_NEXT_SCHEMA: Mapping[str, SchemaForm] = {"json_schema": "json_object", "json_object": "prompt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestForm:
    """What is sent of a request, and how."""

    schema: SchemaForm = "json_schema"
    """How a schema is asked for: decoded by it, as any JSON with the schema in words, or in words alone."""
    limit: str | None = "max_tokens"
    """The name of the reply's limit."""
    most_tokens: int | None = None
    """The highest limit that is taken."""
    seed: str | None = "seed"
    temperature: Literal["any", "positive"] | None = "any"
    system: bool = True
    """Whether system messages are taken; else their text stands before the first user message."""
    thinking: bool = True
    """False sends `enable_thinking: false`, which some models want of requests that do not stream."""

    @classmethod
    def without(cls, dropped: tuple[str, ...]) -> RequestForm:
        """The form to begin with, where a config says what is not to be sent."""
        return cls(
            schema="prompt" if "response_format" in dropped else "json_schema",
            limit=None if "max_tokens" in dropped else "max_tokens",
            seed=None if "seed" in dropped else "seed",
            temperature=None if "temperature" in dropped else "any",
        )

    @property
    def label(self) -> str:
        """Names what of the form shapes completions, for keys of caches; empty where nothing does."""
        parts = {
            self.schema: self.schema != "json_schema",
            "no limit": self.limit is None,
            f"{self.most_tokens} tokens": self.most_tokens is not None,
            "no seed": self.seed is None,
            f"{self.temperature or 'no'} temperature": self.temperature != "any",
            "no system": not self.system,
            "no thinking": not self.thinking,
        }
        return ", ".join(name for name, is_so in parts.items() if is_so)

    def body(self, request: CompletionRequest, *, model: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a request; those of a config's `extra_body` win over ours."""
        body: dict[str, Any] = {"model": model, "messages": self._messages(request)}
        if self.limit is not None and not extra.keys() & {"max_tokens", "max_completion_tokens"}:
            body[self.limit] = min(request.max_tokens, self.most_tokens or request.max_tokens)
        if self.temperature is not None:
            least = LEAST_TEMPERATURE if self.temperature == "positive" else 0.0
            body["temperature"] = max(request.temperature, least)
        if self.seed is not None:
            body[self.seed] = request.seed
        if request.json_schema is not None and self.schema != "prompt":
            body["response_format"] = self._response_format(request.json_schema)
        if not self.thinking:
            body["enable_thinking"] = False
        return {**body, **extra}

    def after(self, refusal: Refusal, *, sent: Mapping[str, Any], extra: Mapping[str, Any]) -> RequestForm | None:
        """The form to try next, None where the refusal leads to no other."""
        if self.system and _NO_SYSTEM.search(refusal.text):
            return replace(self, system=False)
        if "enable_thinking" in refusal.text and "enable_thinking" not in sent:
            return replace(self, thinking=False)
        form = self
        for name in refusal.fields(sent.keys() - extra.keys()):
            form = form._without(name, refusal, sent)
        if form == self and not refusal.fields(sent) and "response_format" in sent.keys() - extra.keys():
            form = self._without("response_format", refusal, sent)  # what is refused most, where nothing is named
        return None if form == self else form

    def _without(self, name: str, refusal: Refusal, sent: Mapping[str, Any]) -> RequestForm:
        if name == "response_format":
            return replace(self, schema=_NEXT_SCHEMA.get(self.schema, "prompt"))
        if name in ("max_tokens", "max_completion_tokens"):
            return self._with_other_limit(refusal, asked=sent[name])
        if name == "temperature":
            is_zero = sent[name] == 0 and self.temperature == "any"
            return replace(self, temperature="positive" if is_zero and _POSITIVE.search(refusal.text) else None)
        if name in ("seed", "random_seed"):
            renamed = name == "seed" and _RENAMED_SEED.search(refusal.text)
            return replace(self, seed="random_seed" if renamed else None)
        return self

    def _with_other_limit(self, refusal: Refusal, *, asked: int) -> RequestForm:
        """A lower limit where the refusal holds one, then the limit's other name, then none."""
        lower = [number for number in refusal.numbers() if 16 <= number < asked]
        if lower and self.most_tokens is None and "max_completion_tokens" not in _other_names(refusal, self.limit):
            return replace(self, most_tokens=max(lower))
        return replace(self, limit="max_completion_tokens" if self.limit == "max_tokens" else None)

    def _messages(self, request: CompletionRequest) -> list[dict[str, str]]:
        turns = list(request.messages)
        if request.json_schema is not None and self.schema != "json_schema":
            turns = _with_system(turns, _IN_WORDS + request.json_schema)
        if not self.system:
            turns = _folded(turns)
        return [{"role": role, "content": content} for role, content in turns]

    def _response_format(self, schema: str) -> dict[str, Any]:
        if self.schema == "json_object":
            return {"type": "json_object"}
        return {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": json.loads(schema)}}


def _other_names(refusal: Refusal, limit: str | None) -> list[str]:
    return [name for name in ("max_tokens", "max_completion_tokens") if name != limit and name in refusal.text]


def _with_system(turns: list[tuple[str, str]], text: str) -> list[tuple[str, str]]:
    """The turns with a text at the end of their system message."""
    if turns and turns[0][0] == "system":
        return [("system", f"{turns[0][1]}\n\n{text}"), *turns[1:]]
    return [("system", text), *turns]


def _folded(turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The turns with the text of all system messages before that of the first user message."""
    system = "\n\n".join(content for role, content in turns if role == "system")
    others = [turn for turn in turns if turn[0] != "system"]
    for number, (role, content) in enumerate(others):
        if role == "user" and system:
            return [*others[:number], (role, f"{system}\n\n{content}"), *others[number + 1 :]]
    return others if others else [("user", system)]
