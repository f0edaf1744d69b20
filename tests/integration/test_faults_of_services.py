"""What no row can help is fatal and told in one line without rows or keys; what a row can help costs that row."""

from __future__ import annotations

import json
import pickle

import pyarrow as pa
import pytest

from actors.llm import endpoint_state
from actors.llm.client import ChatClient
from actors.llm.server import start_llm
from actors.llm.spec import read_spec
from actors.web import retry
from autodp_ray.runs.services import require_endpoint
from autodp_ray.search.agent.agent import Agent
from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.proposal import Feedback
from autodp_ray.strategy import PAPER_TEAMS
from operators.contract.errors import AutoDPError, EndpointConfigError, EndpointError, InputError
from operators.contract.resources import Resources
from operators.optimize import OptimizeAnswer
from operators.rows.record import RECORD_SCHEMA
from tests.integration.scripted_endpoint import Answer, Fault, Request, scripted_endpoint
from tests.integration.service_scripts import ROW, SAID, ask, format_of, many, refused, service, text_of


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_S", 0.002)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            refused(f"Incorrect API key provided: {ROW}", status=401, code="invalid_api_key"),
            "OPENAI_API_KEY is not set here, so no key was sent",
        ),
        (refused("You are not allowed to sample from this model", status=403), "may use model 'm'"),
        (Answer(status=403, body=b"<html>Access denied by policy</html>"), "may use model 'm'"),
        (refused("The model `m` does not exist", status=404, code="model_not_found"), "check model 'm'"),
        (Answer(status=404, body=b"404 page not found"), "base_url"),
        (refused("Insufficient Balance", status=402, type="unknown_error"), "quota or credit is used up"),
        (
            refused("You exceeded your current quota", status=429, code="insufficient_quota"),
            "quota or credit is used up",
        ),
        (refused("Your credit balance is too low to access the API."), "quota or credit is used up"),
        (refused("Access denied, your account is in arrears.", code="Arrearage"), "quota or credit is used up"),
    ],
)
def test_what_no_row_can_help_is_fatal_and_told_in_one_line(answer: Answer, told: str) -> None:
    with service(lambda request: answer) as (endpoint, client):
        with pytest.raises(EndpointConfigError, match=told) as caught:
            client.complete([ask(ROW)])
        assert len(endpoint.requests) == 1
        assert isinstance(caught.value, InputError)
        assert_says_nothing(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "check the key in OPENAI_API_KEY; check also"),
        ({"api_key_env": "OTHER_KEY"}, "OTHER_KEY is not set here"),
        ({"api_key_env": ""}, "no api_key_env names a key"),
    ],
)
def test_what_to_do_about_a_key_says_whether_one_was_sent(
    settings: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with (
        service(lambda request: refused("Unauthorized", status=401), **settings) as (_, client),
        pytest.raises(EndpointConfigError, match=told),
    ):
        client.complete([ask(ROW)])


def test_a_field_that_nothing_replaces_is_named() -> None:
    answer = refused(f"Unknown parameter: 'top_kk' of {ROW}", param="top_kk", code=f"bad {ROW}" * 50)
    with service(lambda request: answer, extra_body={"top_kk": 3}) as (_, client):
        with pytest.raises(
            EndpointError, match=r"status 400 because of 'top_kk' \(code invalid_request_error\)"
        ) as caught:
            client.complete([ask(ROW)])
        assert_says_nothing(caught.value)


def test_a_code_that_repeats_the_row_is_not_shown() -> None:
    with service(lambda request: refused("no", code="canary", type="patient_canary")) as (_, client):
        with pytest.raises(EndpointError) as caught:
            client.complete([ask(ROW, json_schema=None)])
        assert "(code none)" in str(caught.value)
        assert_says_nothing(caught.value)


def test_rows_follow_no_redirect() -> None:
    with scripted_endpoint(lambda request: SAID) as elsewhere:
        away = Answer(status=308, body=b"", headers={"Location": elsewhere.base_url + "/chat/completions"})
        redirected = pytest.raises(EndpointError, match="status 308, a redirect")
        with service(lambda request: away) as (_, client), redirected:
            client.complete([ask(ROW)])
        assert elsewhere.requests == []


def test_a_secret_in_the_url_is_in_no_error() -> None:
    with scripted_endpoint(lambda request: Fault(status=500)) as endpoint:
        url = endpoint.base_url.replace("127.0.0.1", "canary:canary@127.0.0.1") + "?api-key=canary"
        spec = read_spec({"model": "m", "engine": "endpoint", "base_url": url, "max_retries": 0})
        with pytest.raises(EndpointError) as caught:
            ChatClient(start_llm(spec), spec).complete([ask()])
        assert endpoint.paths == ["/v1/chat/completions?api-key=canary"]
        assert endpoint.base_url in str(caught.value)
        assert_says_nothing(caught.value)


def test_a_key_that_no_header_can_carry_is_told_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-1\ncanary-2\n")
    with service(lambda request: SAID) as (endpoint, client):
        with pytest.raises(InputError, match="key in OPENAI_API_KEY holds a line end") as caught:
            client.complete([ask()])
        assert_says_nothing(caught.value)
        monkeypatch.setenv("OPENAI_API_KEY", "  canary-1 \r\n")
        client.complete([ask()])
        assert endpoint.headers[0]["authorization"] == "Bearer canary-1"


def test_a_team_run_counts_the_rows_that_an_endpoint_does_not_take_and_goes_on() -> None:
    def picky(request: Request) -> str | Answer:
        if ROW in text_of(request):
            return refused("filtered", code="content_filter")
        if "endless" in text_of(request):
            return refused("no", code="context_length_exceeded")
        return json.dumps({"answer": "Drink enough water and rest for three whole days at home, then see a doctor."})

    question, answer = "What helps against a cold, doctor?", "Drink enough water and rest for three days at home."
    questions = [f"{question} {word}" for word in ("", ROW, "endless", "")]
    rows = [
        {"id": str(number), "history": [], "question": asked, "answer": answer, "origin": "source"}
        for number, asked in enumerate(questions)
    ]
    with service(picky) as (_, client):
        transform = OptimizeAnswer().build(Resources(completer=client))
        done = transform(pa.Table.from_pylist(rows, schema=RECORD_SCHEMA))
    assert done.counts == {"rewritten": 2, "rejected:filtered": 1, "rejected:truncated": 1}
    assert [row["answer"] == answer for row in done.table.to_pylist()] == [False, True, True, False]


def test_what_one_process_found_out_travels_with_its_client() -> None:
    def without_seed(request: Request) -> str | Answer:
        return refused("Unrecognized request argument supplied: seed") if "seed" in request else SAID

    with service(without_seed) as (endpoint, client):
        client.complete([ask()])
        packed = pickle.dumps(client)
        endpoint_state._states.clear()  # another process
        copy = pickle.loads(packed)
        assert copy.revision == client.revision == "m@r1+no seed"
        endpoint.requests.clear()
        copy.complete(many(5))
        assert len(endpoint.requests) == 5


def test_a_broken_reply_to_the_agent_is_an_endpoint_error() -> None:
    task = AgentTask(teams=PAPER_TEAMS, domain="general", language="en", num_strategies=2)
    broken = Answer(status=200, body=b'{"choices": [{"message": {"content": 5}}], "usage": {"prompt_tokens": -7}}')
    with service(lambda request: broken, max_retries=1) as (_, client):
        with pytest.raises(EndpointError, match="content is no text"):
            Agent(client, task=task).propose(Feedback())
        assert client.usage().prompt_tokens == 0


def test_settings_say_what_is_not_sent() -> None:
    dropped = ["temperature", "seed", "max_tokens", "response_format"]
    with service(lambda request: SAID, drop_params=dropped) as (endpoint, client):
        client.complete([ask()])
        assert endpoint.requests[0].keys() == {"model", "messages"}
        assert client.revision == "m@r1+prompt, no limit, no seed, no temperature"


def test_the_first_word_of_a_run_finds_out_what_the_endpoint_takes() -> None:
    def strict(request: Request) -> str | Answer:
        if "seed" in request:
            return refused("Unrecognized request argument supplied: seed")
        return '{"ready": true}'

    with service(strict) as (endpoint, client):
        require_endpoint("operators", client.spec)
        first = endpoint.requests[0]
        assert (format_of(first), first["max_tokens"], first["temperature"]) == ("json_schema", 1024, 0.6)
        endpoint.requests.clear()
        client.complete(many(5))
        assert len(endpoint.requests) == 5


def test_a_context_without_room_for_a_reply_is_told_before_the_run() -> None:
    message = (
        "'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum context length is 1000 "
        "tokens and your request has 20 input tokens"
    )
    with service(lambda request: refused(message)) as (_, client), pytest.raises(InputError, match="lower max_tokens"):
        require_endpoint("operators", client.spec)


def assert_says_nothing(error: AutoDPError) -> None:
    assert "canary" not in f"{error!r} {error} {error.__cause__!r}"
    assert "\n" not in str(error)
