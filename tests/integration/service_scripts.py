"""A scripted chat service, a client of it, and what both say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from actors.llm.client import ChatClient
from actors.llm.server import start_llm
from actors.llm.spec import read_spec
from operators.contract.resources import Completion, CompletionRequest
from tests.integration.scripted_endpoint import Answer, Endpoint, ReplyFn, Request, scripted_endpoint

ROW = "canary patient"
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
)
SAID = '{"answer": "Rest."}'
WHOLE = Completion(text=SAID, prompt_tokens=10, completion_tokens=5)


@contextmanager
def service(reply: ReplyFn, **settings: object) -> Iterator[tuple[Endpoint, ChatClient]]:
    with scripted_endpoint(reply) as endpoint:
        fields = {"model": "m", "engine": "endpoint", "base_url": endpoint.base_url, "timeout_s": 5, "retry_for_s": 2}
        spec = read_spec({**fields, "revision": "r1", **settings})
        yield endpoint, ChatClient(start_llm(spec), spec)


def ask(text: str = "hello", **changes: object) -> CompletionRequest:
    fields: dict[str, object] = {"max_tokens": 64, "seed": 3, "json_schema": SCHEMA, **changes}
    return CompletionRequest(messages=(("system", "Be brief."), ("user", text)), **fields)  # type: ignore[arg-type]


def many(number: int = 24) -> list[CompletionRequest]:
    return [ask(f"row {index}") for index in range(number)]


def refused(message: str, *, status: int = 400, **fields: object) -> Answer:
    return Answer(status=status, body={"error": {"message": message, "type": "invalid_request_error", **fields}})


def text_of(request: Request) -> str:
    return json.dumps(request["messages"])


def format_of(request: Request) -> object:
    found = request.get("response_format")
    return found["type"] if isinstance(found, dict) else None
