"""Statuses, headers and bodies of every kind through the clients: each is a completion or an EndpointError."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pyarrow as pa
import pytest

from actors.llm.client import ChatClient
from actors.llm.spec import LLMEndpoint, read_spec
from actors.screening import client as screener_client
from actors.screening.client import ServedProbabilities
from actors.screening.spec import ScreenerCalls
from actors.web.exchange import HttpReply, HttpRequest, NoReplyError
from actors.web.throttle import Throttle
from operators.contract.errors import EndpointError
from operators.contract.resources import Completion, CompletionRequest
from tests.actors.web.fake_clock import FakeClock

KEY, ROW = "canary-key-5f", "canary row of a patient"
STATUSES = [200] * 14 + [
    201,
    204,
    301,
    307,
    400,
    400,
    401,
    402,
    403,
    404,
    408,
    413,
    422,
    424,
    429,
    451,
    500,
    502,
    503,
    529,
]
WORDS = [
    *(
        "content_filter",
        "context length",
        "response_format",
        "temperature",
        "seed",
        "max_tokens is too large",
        "system role not supported",
    ),
    *(
        "stop",
        "length",
        "",
        "insufficient_quota",
        "enable_thinking must be false",
        "\ud83d",
        "\x00",
        "😀",
        "4096",
        ROW,
        KEY,
    ),
]
NUMBERS = [0, -1, 7, 1e30, -1e30, 10**4000, 1.5, float("inf"), float("nan"), 2**63]
HEADERS = [
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-reset-tokens",
    "content-type",
    "content-encoding",
    "date",
    "location",
]


def anything(rng: random.Random, depth: int = 3) -> object:
    kind = rng.randrange(8 if depth else 5)
    if kind < 5:
        return (None, rng.random() < 0.5, rng.choice(NUMBERS), rng.choice(WORDS), " ".join(rng.choices(WORDS, k=4)))[
            kind
        ]
    if kind == 5:
        return [anything(rng, depth - 1) for _ in range(rng.randrange(4))]
    names = ["choices", "message", "content", "error", "code", "usage", "type", "param", "detail", "loc", "text"]
    return {rng.choice(names): anything(rng, depth - 1) for _ in range(rng.randrange(5))}


def near_completion(rng: random.Random) -> object:
    """A completion of which some parts are replaced by anything."""
    said: dict[str, object] = {
        "choices": [
            {"message": {"role": "assistant", "content": "Rest.", "reasoning_content": "hm"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    for _ in range(rng.randrange(3)):
        at: object = said
        while isinstance(at, dict | list) and at:
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if rng.random() < 0.4 or not isinstance(at[key], dict | list):
                at[key] = anything(rng)
                break
            at = at[key]
    return said


def body(rng: random.Random) -> bytes:
    kind = rng.randrange(8)
    said = near_completion(rng) if kind < 4 else {"error": anything(rng)} if kind < 6 else anything(rng)
    data = json.dumps(said, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if kind == 7:
        data = rng.choice(
            [b"", b"<html>", rng.randbytes(50), b"[" * 20_000, b'{"a":' * 5_000, b"9" * 5_000, data[: len(data) // 2]]
        )
    return data


class Answers:
    """An exchange that answers with whatever comes; in memory, and without waiting."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, request: HttpRequest) -> HttpReply:
        rng = self._rng
        if rng.random() < 0.05:
            raise NoReplyError("timeout after 2 s")
        headers = {
            name: rng.choice([*WORDS, "5", "-1", "1e9", "Tue, 14 Nov 2023 22:14:20 GMT"])
            for name in rng.sample(HEADERS, 2)
        }
        return HttpReply(status=rng.choice(STATUSES), headers=headers, body=body(rng))


def outcome(step: Callable[[], object]) -> object:
    """What a step returns, or the EndpointError that it raises; any other error fails the test."""
    try:
        return step()
    except EndpointError as error:
        return error


def assert_says_nothing(error: EndpointError) -> None:
    shown = f"{error!r} {error} {error.__cause__!r}"
    assert KEY not in shown
    assert ROW not in shown
    assert len(str(error)) < 500
    assert error.__context__ is None or error.__suppress_context__


def test_every_reply_is_a_completion_or_an_endpoint_error(
    cases: list[random.Random], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    num_replies = 0
    for number, rng in enumerate(cases):
        url = f"http://user:{KEY}@127.0.0.1:9/{number}/v1?api-key={KEY}"
        spec = read_spec({"model": "m", "engine": "endpoint", "base_url": url, "max_retries": 3})
        client = ChatClient(
            LLMEndpoint(base_url=url, model="m", revision="r1"),
            spec,
            send=Answers(rng),
            throttle=Throttle(clock=FakeClock(), rng=rng),
        )
        schema = rng.choice([None, '{"type": "object"}'])
        request = CompletionRequest(messages=(("system", "s"), ("user", ROW)), max_tokens=9, json_schema=schema)
        found = outcome(lambda client=client, request=request: client.complete([request])[0])  # type: ignore[misc]
        assert client.usage().prompt_tokens >= 0
        assert client.usage().completion_tokens >= 0
        if isinstance(found, EndpointError):
            assert_says_nothing(found)
        else:
            assert isinstance(found, Completion)
            num_replies += 1
            assert found.finish_reason in {"stop", "length", "filtered", "unknown"}
            found.text.encode()
            assert "hm" not in found.text
            assert not (found.finish_reason == "filtered" and found.text)
    assert num_replies > len(cases) / 5, "the cases are not all refusals"


def test_every_reply_to_a_screener_s_client_is_a_probability_or_an_endpoint_error(
    cases: list[random.Random], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.table({"history": [[]], "question": [ROW], "answer": [ROW]})
    for number, rng in enumerate(cases):
        monkeypatch.setattr(screener_client, "exchange", Answers(rng))
        throttle = Throttle(clock=FakeClock(), rng=rng)
        monkeypatch.setattr(screener_client, "_throttle", lambda application, throttle=throttle: throttle)
        url = f"http://127.0.0.1:9/{number}/screener"
        judge = ServedProbabilities(url=url, revision="r", threshold=0.5, calls=ScreenerCalls(max_retries=2))
        found = outcome(lambda judge=judge: judge.probabilities(rows))  # type: ignore[misc]
        if isinstance(found, EndpointError):
            assert_says_nothing(found)
        else:
            assert isinstance(found, list)
            assert len(found) == 1
