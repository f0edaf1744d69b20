"""The chat API over the tiny model, served by uvicorn on loopback, spoken to with the openai library."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from fastapi import FastAPI

from actors.cpu_engine.batcher import Batcher
from actors.cpu_engine.engine import TransformersEngine
from actors.cpu_engine.row import ActiveRequest, GenerationRequest
from actors.cpu_engine.service import ChatService, add_routes

SECRET = "canary-19c2"
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"kind": {"enum": ["good", "bad"]}},
    "required": ["kind"],
    "additionalProperties": False,
}
USER = [{"role": "user", "content": "What is the usual dose?"}]


def schema_format(schema: dict[str, object]) -> dict[str, object]:
    """The `response_format` that asks for JSON of a schema."""
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(str(tiny_model), max_batch_size=8, max_model_len=600, num_threads=1)


@pytest.fixture(scope="module")
def url(engine: TransformersEngine) -> Iterator[str]:
    service = ChatService(engine, model="tiny", revision="rev-1", batch_wait_s=0.01, default_max_tokens=16)
    app = FastAPI()
    add_routes(app, service)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    service.close()


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_a_chat_is_answered_with_the_engine_s_reply_and_usage(
    client: openai.OpenAI, engine: TransformersEngine
) -> None:
    reply = client.chat.completions.create(model="tiny", messages=USER, max_tokens=9, temperature=0.9, seed=3)  # type: ignore[arg-type]
    request = GenerationRequest(messages=(("user", USER[0]["content"]),), max_tokens=9, temperature=0.9, seed=3)
    (expected,) = engine.generate([request])
    assert reply.choices[0].message.content == expected.text
    assert reply.choices[0].finish_reason == expected.finish_reason
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == expected.prompt_tokens
    assert reply.usage.completion_tokens == expected.completion_tokens
    assert reply.system_fingerprint == "rev-1"


def test_a_stream_adds_up_to_the_plain_reply_and_ends_with_its_usage(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": USER, "max_tokens": 20, "temperature": 1.0, "seed": 8}
    plain = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == plain.choices[0].message.content
    assert len(chunks) > 5
    assert chunks[-2].choices[0].finish_reason == plain.choices[0].finish_reason
    assert chunks[-1].usage == plain.usage


def test_many_clients_at_once_get_what_each_would_get_alone(client: openai.OpenAI) -> None:
    def ask(seed: int) -> str | None:
        reply = client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "fox " * seed}],
            max_tokens=12,
            temperature=0.8,
            seed=seed,
        )
        return reply.choices[0].message.content

    alone = [ask(seed) for seed in range(1, 13)]
    together: dict[int, str | None] = {}
    threads = [threading.Thread(target=lambda seed=seed: together.update({seed: ask(seed)})) for seed in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[seed] for seed in range(1, 13)] == alone


def test_a_json_schema_is_followed(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": USER, "max_tokens": 60, "temperature": 1.0, "seed": 1}
    asked["response_format"] = schema_format(SCHEMA)
    reply = client.chat.completions.create(**asked)
    assert json.loads(reply.choices[0].message.content)["kind"] in ("good", "bad")


def test_stop_strings_given_singly_or_in_a_list_end_the_reply(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": USER, "max_tokens": 24, "temperature": 1.0, "seed": 5}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    for stop in (whole[3:5], [whole[3:5]]):
        reply = client.chat.completions.create(**asked, stop=stop)
        assert reply.choices[0].message.content == whole[: whole.index(whole[3:5])]
        assert reply.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": SECRET}]}, "messages.0.role"),
        ({"temperature": 9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 3}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"top_k": 5}, "top_k"),
        ({"min_p": 0.1}, "min_p"),
        ({"min_tokens": 4}, "min_tokens"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"stop_token_ids": [3]}, "stop_token_ids"),
        ({"guided_regex": "a+"}, "guided_regex"),
        ({"guided_grammar": "root ::= x"}, "guided_grammar"),
        ({"logprobs": True}, "logprobs"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"a_field_of_next_year": 1}, "a_field_of_next_year"),
        ({"messages": [{"role": "user"}]}, "needs content"),
        ({"guided_choice": ["a"]}, "guided_choice"),
        ({"guided_json": SCHEMA}, "guided_json"),
        ({"stop": ["a", ""]}, "stop string"),
        ({"response_format": {"type": "json_schema"}}, "json_schema.schema"),
        ({"response_format": schema_format({"type": "nonsense"})}, "grammar"),
    ],
)
def test_a_bad_request_gets_a_400_that_names_the_field_and_shows_no_text(
    url: str, change: dict[str, object], named: str
) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": SECRET}], **change}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert named in answer.json()["error"]["message"]
    assert SECRET not in answer.text


def test_fields_that_ask_for_nothing_are_accepted(url: str) -> None:
    idle: dict[str, object] = {
        "stream": None,
        "tools": [],
        "functions": None,
        "tool_choice": "auto",
        "n": 1,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "logprobs": False,
        "user": "me",
        "metadata": {"a": "b"},
        "ignore_eos": False,
        "stop": None,
        "max_completion_tokens": 5,
    }
    plain = httpx.post(
        f"{url}/v1/chat/completions", json={"model": "tiny", "messages": USER, "max_tokens": 5, "seed": 1}
    )
    body = json.dumps({"model": "tiny", "messages": USER, "seed": 1, **idle}).encode()
    answer = httpx.post(f"{url}/v1/chat/completions", content=b"\xef\xbb\xbf" + body)
    assert answer.status_code == 200
    assert answer.json()["choices"] == plain.json()["choices"]


def test_tool_turns_and_turns_without_text_reach_the_model(
    url: str, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    prepare = engine.prepare

    def noting(request: GenerationRequest) -> ActiveRequest:
        seen.append(str(request.messages))
        return prepare(request)

    monkeypatch.setattr(engine, "prepare", noting)
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turns = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "4 degrees", "tool_call_id": "1"},
    ]
    body = {"model": "tiny", "messages": turns, "max_tokens": 2, "chat_template_kwargs": {"enable_thinking": False}}
    assert httpx.post(f"{url}/v1/chat/completions", json=body).status_code == 200
    assert "weather" in seen[0]
    assert "4 degrees" in seen[0]


def test_text_of_a_message_is_no_role_token(url: str) -> None:
    def num_tokens(text: str) -> int:
        body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 1}
        return int(httpx.post(f"{url}/v1/chat/completions", json=body).json()["usage"]["prompt_tokens"])

    assert num_tokens("<|im_end|>") - num_tokens("") > 1, "one token it would be as the end of a turn"


def test_a_page_of_another_site_gets_no_answer(url: str) -> None:
    body = json.dumps({"model": "tiny", "messages": USER, "max_tokens": 1})
    headers = {"origin": "https://elsewhere.example", "content-type": "text/plain"}
    assert httpx.post(f"{url}/v1/chat/completions", content=body, headers=headers).status_code == 403
    own = {"origin": url}
    assert httpx.post(f"{url}/v1/chat/completions", content=body, headers=own).status_code == 200


def test_a_path_or_method_that_is_not_there_gets_an_error_of_the_usual_form(url: str) -> None:
    for answer in (httpx.get(f"{url}/v1/embeddings"), httpx.get(f"{url}/v1/chat/completions")):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]["type"] == "invalid_request_error"
    assert httpx.get(f"{url}/v1/models/tiny").json()["revision"] == "rev-1"
    assert httpx.get(f"{url}/v1/models/a/b").json()["error"]["code"] == "model_not_found"


def test_a_grammar_s_error_shows_no_source_file(url: str) -> None:
    body = {"model": "tiny", "messages": USER, "response_format": schema_format({"type": "nonsense"})}
    message = httpx.post(f"{url}/v1/chat/completions", json=body).json()["error"]["message"]
    assert "grammar" in message
    assert "nonsense" in message
    assert ".cc" not in message


def test_a_body_that_is_no_json_gets_a_400(url: str) -> None:
    assert httpx.post(f"{url}/v1/chat/completions", content=b"{oops").status_code == 400


def test_a_prompt_beyond_the_context_says_so_by_its_code(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": f"{SECRET} " * 400}])
    assert caught.value.code == "context_length_exceeded"
    assert SECRET not in str(caught.value)


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=USER)  # type: ignore[arg-type]


def test_models_declares_the_id_and_the_revision(client: openai.OpenAI, url: str) -> None:
    (card,) = client.models.list()
    assert card.id == "tiny"
    assert card.model_extra is not None
    assert card.model_extra["revision"] == "rev-1"
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_client_that_goes_away_ends_its_stream(url: str, engine: TransformersEngine) -> None:
    body = {"model": "tiny", "messages": USER, "max_tokens": 500, "stream": True, "temperature": 0.9, "seed": 1}
    steps: list[int] = []
    hook = engine.model.register_forward_pre_hook(lambda *_: steps.append(1))
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        while len(steps) < 10:
            next(lines)
    seen = -1
    while len(steps) > seen:
        seen = len(steps)
        time.sleep(1.0)
    hook.remove()
    assert seen < 400, "the other hundred tokens were not made for nobody"


def test_a_fault_of_the_model_goes_to_those_who_wait_and_the_next_request_is_served(tiny_model: Path) -> None:
    engine = TransformersEngine(str(tiny_model))
    batcher = Batcher(engine, batch_wait_s=0.2)
    request = GenerationRequest(messages=(("user", "x"),), max_tokens=3)

    def break_down(*_: object) -> None:
        raise MemoryError("planted")

    hook = engine.model.register_forward_pre_hook(break_down)
    failed = [batcher.submit(engine.prepare(request)) for _ in range(3)]
    for future in failed:
        with pytest.raises(MemoryError, match="planted"):
            future.result(timeout=20)
    hook.remove()
    assert batcher.submit(engine.prepare(request)).result(timeout=20) == engine.generate([request])[0]
    batcher.close()
    assert not batcher.is_alive()


def test_closing_cancels_what_is_unfinished(engine: TransformersEngine) -> None:
    batcher = Batcher(engine, batch_wait_s=0.0)
    request = GenerationRequest(messages=(("user", "x"),), max_tokens=500, temperature=0.9)
    future = batcher.submit(engine.prepare(request))
    batcher.close()
    assert future.cancelled() or future.done()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(engine.prepare(request))
