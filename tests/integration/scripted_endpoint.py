"""An OpenAI-compatible chat endpoint on loopback whose replies a test writes.

A sensible reply is a function of the request alone, so a run with it is deterministic.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Request = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An HTTP status instead of a reply, or a reply that comes too late."""

    status: int = 500
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status, headers and a body, as a service has them."""

    status: int = 400
    body: object = None
    """JSON, or bytes that are sent as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)


ReplyFn = Callable[[Request], "str | Fault | Answer"]


@dataclass(slots=True)
class Endpoint:
    """Where it listens and what it was asked."""

    base_url: str
    requests: list[Request] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each request, by lower-case names."""


@contextmanager
def scripted_endpoint(reply: ReplyFn, *, model: str = "scripted") -> Iterator[Endpoint]:
    """Serve until the block ends."""
    endpoint = Endpoint(base_url="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": model, "object": "model", "owned_by": "test"}]})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.requests.append(request)
            endpoint.paths.append(self.path)
            endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
            said = reply(request)
            if isinstance(said, Answer):
                self._send(said.status, said.body, headers=said.headers)
                return
            if isinstance(said, Fault):
                time.sleep(said.delay_s)
                self._send(said.status, {"error": {"message": "scripted fault", "type": "server_error"}})
                return
            self._send(200, completion(said, model=model))

        def _send(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Tests do not want an access log."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    endpoint.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def completion(text: str, *, model: str = "scripted", **choice: object) -> dict[str, object]:
    """The body of a chat completion; `choice` overrides fields of its only choice."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def is_agent(request: Request) -> bool:
    """Whether a request asks the agent: its system message speaks of teams' strategies and no operator's does."""
    schema = json.dumps(request.get("response_format", ""))
    return "strategies" in schema


def is_judge(request: Request) -> bool:
    """Whether a request shows two answers to compare."""
    return "better" in json.dumps(request.get("response_format", ""))


def rounds_so_far(request: Request) -> int:
    """How many rounds the agent has answered before this request."""
    messages = request["messages"]
    assert isinstance(messages, list)
    return sum(message["role"] == "assistant" for message in messages)


def rewrite(request: Request) -> str:
    """What an operator gets: JSON with both fields, made from the prompt's length, so it is the same every time."""
    size = len(json.dumps(request["messages"]))
    return json.dumps(
        {
            "question": f"What should be done about case number {size}, in plain words?",
            "answer": f"Case number {size} is solved by reading the manual first and then asking somebody who knows.",
        }
    )


def sensible_agent(request: Request) -> str:
    """Two rounds, then the best of what it has seen."""
    rounds = rounds_so_far(request)
    if rounds == 0:
        return json.dumps({"reasons": "start small", "strategies": ["cleaning", "generation"]})
    if rounds == 1:
        said = {"reasons": "combine", "decision": "continue", "strategies": ["cleaning>optimization"], "best": None}
        return json.dumps(said)
    return json.dumps({"reasons": "done", "decision": "best", "strategies": [], "best": "cleaning"})


def prefer_longer(request: Request) -> str:
    """A judge that likes the longer answer."""
    messages = request["messages"]
    assert isinstance(messages, list)
    first, second = messages[-1]["content"].partition("First answer:")[2].split("Second answer:")
    longer = "tie" if len(first.strip()) == len(second.strip()) else "first" if len(first) > len(second) else "second"
    return json.dumps({"better": longer})


def sensible(request: Request) -> str:
    """A sensible agent, obedient operators and a judge."""
    if is_judge(request):
        return prefer_longer(request)
    return sensible_agent(request) if is_agent(request) else rewrite(request)
