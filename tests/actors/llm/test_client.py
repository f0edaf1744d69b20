"""The client against a real HTTP server on loopback that misbehaves on command."""

from __future__ import annotations

import json
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from actors.llm.client import ChatClient
from actors.llm.completion_store import CompletionStore
from actors.llm.spec import LLMEndpoint, read_spec
from actors.llm.usage import Usage
from actors.web import retry
from operators.contract.errors import EndpointError, InputError
from operators.contract.resources import Completer, Completion, CompletionRequest

SECRET = "canary-7f3a"
"""Stands in every request; no error may show it."""


class Endpoint(ThreadingHTTPServer):
    """Answers with the scripted (status, body) pairs, then echoes the last message; body None means: hang."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[tuple[int, str | None]] = []
        self.seen: list[dict[str, object]] = []
        self.headers: dict[str, str] = {}
        self.in_flight = self.most_in_flight = 0
        self.delay_s = 0.0
        self.lock = threading.Lock()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.seen.append(body)
            status, text = self.server.script.pop(0) if self.server.script else (200, echo(body))
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
        time.sleep(self.server.delay_s)
        with self.server.lock:
            self.server.in_flight -= 1
        if text is None:
            self.server.released.wait(20)
            return
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def echo(body: dict[str, object]) -> str:
    messages = body["messages"]
    assert isinstance(messages, list)
    message = {"role": "assistant", "content": f"echo: {messages[-1]['content']}"}
    return json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
    )


def refusal(code: str | None, message: str = f"no, because {SECRET}") -> str:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(retry, "BACKOFF_S", 0.01)
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield endpoint
    endpoint.released.set()
    endpoint.shutdown()
    thread.join()
    endpoint.server_close()


def make_client(url: str, *, store: CompletionStore | None = None, **changes: object) -> ChatClient:
    fields: dict[str, object] = {"timeout_s": 5.0, "max_retries": 2, **changes}
    spec = read_spec({"model": "m", "engine": "endpoint", "base_url": url, **fields})
    return ChatClient(LLMEndpoint(base_url=url, model="m", revision="r1"), spec, store=store)


def ask(text: str = SECRET, **changes: object) -> CompletionRequest:
    fields: dict[str, object] = {"messages": (("system", "be brief"), ("user", text)), "max_tokens": 9, **changes}
    return CompletionRequest(**fields)  # type: ignore[arg-type]


def test_replies_come_in_the_order_of_the_requests_with_their_usage(server: Endpoint) -> None:
    client = make_client(server.url)
    assert isinstance(client, Completer)
    replies = client.complete([ask(f"text {k}") for k in range(20)])
    assert [reply.text for reply in replies] == [f"echo: text {k}" for k in range(20)]
    assert replies[0] == Completion(text="echo: text 0", prompt_tokens=7, completion_tokens=3)
    assert client.usage() == Usage(calls_requested=20, calls_executed=20, prompt_tokens=140, completion_tokens=60)


def test_requests_carry_their_decoding_parameters_and_schema(server: Endpoint) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    make_client(server.url).complete([ask("x", temperature=0.3, seed=11, json_schema=json.dumps(schema))])
    (body,) = server.seen
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("m", 9, 0.3, 11)
    assert body["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}]
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": True, "schema": schema},
    }


def test_at_most_the_spec_s_number_of_requests_is_in_flight(server: Endpoint) -> None:
    server.delay_s = 0.05
    make_client(server.url, concurrency=4).complete([ask(f"text {k}") for k in range(16)])
    assert server.most_in_flight == 4


def test_passing_faults_are_retried_until_a_reply_comes(server: Endpoint) -> None:
    server.script = [(500, "{}"), (429, refusal("rate_limited"))]
    client = make_client(server.url)
    assert client.complete([ask("x")])[0].text == "echo: x"
    assert client.usage().faults == 2
    assert client.usage().calls_executed == 1


def test_the_endpoint_s_own_waiting_time_is_kept(server: Endpoint) -> None:
    server.script, server.headers = [(429, "{}")], {"retry-after": "0.4"}
    started = time.monotonic()
    make_client(server.url).complete([ask("x")])
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ((503, "{}"), "status 503"),
        ((200, "<html>gateway</html>"), "no JSON"),
        ((200, '{"detail": "hello"}'), "no chat completion"),
        ((200, "[]"), "no chat completion"),
        ((200, None), "timeout after 0.3 s"),
    ],
)
def test_a_fault_that_stays_ends_in_an_error_that_names_the_endpoint_and_no_text(
    server: Endpoint, fault: tuple[int, str | None], named: str
) -> None:
    server.script = [fault] * 3
    client = make_client(server.url, timeout_s=0.3)
    with pytest.raises(EndpointError) as caught:
        client.complete([ask()])
    assert server.url in str(caught.value)
    assert named in str(caught.value)
    assert len(server.seen) == 3
    assert client.usage().calls_executed == 0
    assert_hides_text(caught.value)


def test_a_refused_connection_is_an_endpoint_error() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match="no connection"):
        make_client(url, max_retries=0).complete([ask()])


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, EndpointError), (422, EndpointError), (401, InputError), (403, InputError), (404, InputError)],
)
def test_a_refusal_is_not_retried_and_shows_no_text(server: Endpoint, status: int, error: type[Exception]) -> None:
    server.script = [(status, refusal("bad"))]
    with pytest.raises(error) as caught:
        make_client(server.url).complete([ask()])
    assert len(server.seen) == 1
    assert f"status {status}" in str(caught.value)
    assert_hides_text(caught.value)


def ending(reason: str, text: str = "half a th") -> str:
    body = json.loads(echo({"model": "m", "messages": [{"content": text}]}))
    body["choices"][0]["finish_reason"] = reason
    return json.dumps(body)


@pytest.mark.parametrize("reason", ["abort", "cancelled", "error"])
def test_a_reply_that_the_server_gave_up_is_asked_for_again(server: Endpoint, tmp_path: Path, reason: str) -> None:
    server.script = [(200, ending(reason))]
    client = make_client(server.url, store=CompletionStore(tmp_path / "c.sqlite"))
    assert client.complete([ask("x")]) == client.complete([ask("x")])
    assert client.usage() == Usage(calls_requested=2, calls_executed=1, prompt_tokens=7, completion_tokens=3, faults=1)
    server.script = [(200, ending(reason))] * 3
    with pytest.raises(EndpointError, match=f"ends in '{reason}'"):
        client.complete([ask("y")])


def test_what_a_filter_left_is_no_text_and_neither_it_nor_an_unknown_end_is_remembered(
    server: Endpoint, tmp_path: Path
) -> None:
    server.script = [(200, ending("content_filter")), (200, ending("tool_calls"))]
    client = make_client(server.url, store=CompletionStore(tmp_path / "c.sqlite"))
    replies = [client.complete([ask("x")])[0] for _ in range(4)]
    assert [reply.text for reply in replies] == ["", "echo: half a th", "echo: x", "echo: x"]
    assert len(server.seen) == 3, "only the reply that came to its end is remembered"


def test_two_models_without_a_revision_share_a_run_s_store_but_no_reply(server: Endpoint, tmp_path: Path) -> None:
    store = CompletionStore(tmp_path / "c.sqlite")
    one, two = make_client(server.url, store=store), make_client(server.url, store=store)
    one.endpoint, two.endpoint = (LLMEndpoint(base_url=server.url, model=name, revision=None) for name in "ab")
    for client in (one, two, one):
        client.complete([ask("x")])
    assert [body["model"] for body in server.seen] == ["a", "b"]
    assert one.revision == two.revision == ""


def test_models_of_one_name_behind_two_urls_share_no_reply(server: Endpoint, tmp_path: Path) -> None:
    store = CompletionStore(tmp_path / "c.sqlite")
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        client = make_client(server.url, store=store)
        client.endpoint = LLMEndpoint(base_url=url, model="default", revision=None)
        client.complete([ask("x")])
    assert len(server.seen) == 2


def test_a_404_of_an_application_that_we_serve_passes_or_fails_one_call_but_is_nobody_s_wrong_config(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_S", 0.01)
    client = make_client(server.url)
    client.endpoint = replace(client.endpoint, app_name="llm")
    server.script = [(404, "Path '/llm/v1' not found.")]
    assert client.complete([ask("a")])[0].text == "echo: a"
    server.script = [(404, refusal("gone"))] * 3
    with pytest.raises(EndpointError, match="did not answer in 3 attempts, at last: status 404"):
        client.complete([ask("b")])


@pytest.mark.parametrize(
    "body", [refusal("context_length_exceeded"), refusal(None, "This model's maximum context length is 4096 tokens.")]
)
def test_a_prompt_beyond_the_context_is_a_truncated_reply_of_that_row_alone(server: Endpoint, body: str) -> None:
    server.script = [(400, body)]
    replies = make_client(server.url, concurrency=1).complete([ask("long"), ask("short")])
    assert replies[0] == Completion(text="", finish_reason="length")
    assert replies[1].text == "echo: short"


def test_one_fault_ends_the_call_without_waiting_for_the_other_rows_retries(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "BACKOFF_S", retry.MAX_BACKOFF_S)
    server.script = [*[(503, "{}")] * 4, (400, refusal("bad"))]
    with pytest.raises(EndpointError):
        make_client(server.url, concurrency=5).complete([ask(f"{k}") for k in range(5)])
    assert len(server.seen) == 5


def test_equal_requests_of_a_call_are_executed_once(server: Endpoint) -> None:
    client = make_client(server.url)
    replies = client.complete([ask("a"), ask("b"), ask("a"), ask("a", seed=5)])
    assert [reply.text for reply in replies] == ["echo: a", "echo: b", "echo: a", "echo: a"]
    assert client.usage().calls_requested == 4
    assert client.usage().calls_executed == 2, "a greedy request has no seed"


def test_what_the_store_knows_is_not_executed_again_not_even_by_another_client(
    server: Endpoint, tmp_path: Path
) -> None:
    first = make_client(server.url, store=CompletionStore(tmp_path / "c.sqlite"))
    told = first.complete([ask("a", temperature=0.5, seed=1), ask("b")])
    second = make_client(server.url, store=CompletionStore(tmp_path / "c.sqlite"))
    assert second.complete([ask("b"), ask("a", temperature=0.5, seed=1)]) == told[::-1]
    assert second.usage() == Usage(calls_requested=2)
    second.complete([ask("a", temperature=0.5, seed=2)])
    assert second.usage().calls_executed == 1, "another seed is another request"


def test_replies_that_came_before_a_fault_are_remembered(server: Endpoint, tmp_path: Path) -> None:
    client = make_client(server.url, store=CompletionStore(tmp_path / "c.sqlite"), concurrency=1, max_retries=0)
    client.complete([ask("a")])
    server.script = [(200, echo({"model": "m", "messages": [{"content": "b"}]})), (500, "{}")]
    with pytest.raises(EndpointError):
        client.complete([ask("a"), ask("b"), ask("c")])
    client.complete([ask("b")])
    assert [body["messages"][-1]["content"] for body in server.seen] == ["a", "b", "c"]  # type: ignore[index]


def test_a_transcript_is_sent_whole_with_the_spec_s_own_decoding(server: Endpoint) -> None:
    client = make_client(server.url, temperature=0.6, max_tokens=77)
    reply = client.chat([("system", "s"), ("user", "1"), ("assistant", "2"), ("user", "3")], seed=4)
    assert reply.text == "echo: 3"
    (body,) = server.seen
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.6, 77, 4)
    assert len(body["messages"]) == 4  # type: ignore[arg-type]


@pytest.mark.parametrize(("engine", "asked"), [("vllm", 64), ("transformers", 64), ("endpoint", 4000)])
def test_a_limit_beyond_the_context_of_an_own_model_is_cut_to_it(server: Endpoint, engine: str, asked: int) -> None:
    fields = {"base_url": server.url} if engine == "endpoint" else {"max_model_len": 64}
    spec = read_spec({"model": "m", "engine": engine, **fields})
    ChatClient(LLMEndpoint(base_url=server.url, model="m", revision="r1"), spec).complete([ask(max_tokens=4000)])
    (body,) = server.seen
    assert body["max_tokens"] == asked


def test_a_pickled_client_connects_for_itself(server: Endpoint, tmp_path: Path) -> None:
    client = make_client(server.url, store=CompletionStore(tmp_path / "c.sqlite"))
    client.complete([ask("a")])
    copy = pickle.loads(pickle.dumps(client))
    assert copy.revision == "m@r1"
    copy.complete([ask("a"), ask("b")])
    assert copy.usage() == Usage(calls_requested=2, calls_executed=1, prompt_tokens=7, completion_tokens=3)


def test_snapshots_of_usage_subtract_to_what_happened_in_between() -> None:
    before, after = Usage(calls_requested=2, calls_executed=1), Usage(calls_requested=7, calls_executed=2, faults=1)
    assert before + (after - before) == after
    assert (after - before).counts()["llm_calls_requested"] == 5
    assert set(after.counts()) >= {"llm_calls_requested", "llm_calls_executed"}


def assert_hides_text(error: BaseException | None) -> None:
    """Neither the error nor what a traceback would print beneath it shows the request's text."""
    while error is not None:
        assert SECRET not in f"{error!r} {error}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
