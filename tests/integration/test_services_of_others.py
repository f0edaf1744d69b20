"""Chat services that are OpenAI-compatible in their own ways, scripted from what their documents and users say.

Each refuses with the status, code and words that it is known for; the text of a row that is refused is `ROW`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

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
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.optimize import OptimizeAnswer
from operators.rows.record import RECORD_SCHEMA
from tests.integration.scripted_endpoint import Answer, Endpoint, Fault, ReplyFn, Request, completion, scripted_endpoint

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


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_S", 0.002)


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


def test_deepseek_is_asked_for_any_json_and_told_the_schema_in_words() -> None:
    def deepseek(request: Request) -> str | Answer:
        if format_of(request) == "json_schema":
            return refused("This response_format type is unavailable now", param=None, code="invalid_request_error")
        if format_of(request) == "json_object" and "json" not in text_of(request).lower():
            return refused(
                "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'."
            )
        return SAID

    with service(deepseek) as (endpoint, client):
        assert client.complete(many()) == [WHOLE] * 24
        assert len(endpoint.requests) == 25, "one request finds out what the endpoint takes, for all of them"
        assert client.revision == "m@r1+json_object"
        assert '\\"answer\\"' in text_of(endpoint.requests[-1])
        copy = ChatClient(client.endpoint, client.spec)
        assert copy.complete([ask("other")]) == [WHOLE]
        assert len(endpoint.requests) == 26, "other clients of the process know it too"


def test_gpt_5_is_asked_by_its_own_name_of_the_limit_and_without_a_temperature() -> None:
    def gpt_5(request: Request) -> str | Answer:
        if "max_tokens" in request:
            return refused(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            )
        if request.get("temperature", 1) != 1:
            return refused(
                f"Unsupported value: 'temperature' does not support {request['temperature']} with this model. "
                "Only the default (1) value is supported.",
                param="temperature",
                code="unsupported_value",
            )
        return SAID

    with service(gpt_5) as (endpoint, client):
        assert client.complete(many()) == [WHOLE] * 24
        assert len(endpoint.requests) == 26
        last = endpoint.requests[-1]
        assert (last["max_completion_tokens"], last.keys() & {"max_tokens", "temperature"}) == (64, set())
        assert format_of(last) == "json_schema"
        assert client.revision == "m@r1+no temperature", "another name of the limit changes no completion"


def test_mistral_gets_its_random_seed() -> None:
    def mistral(request: Request) -> str | Answer:
        if "seed" in request:
            fault = {
                "type": "extra_forbidden",
                "loc": ["body", "seed"],
                "msg": "Extra inputs are not permitted",
                "input": 3,
            }
            return Answer(
                status=422,
                body={"object": "error", "message": {"detail": [fault]}, "type": "invalid_request_error", "code": None},
            )
        return SAID

    with service(mistral) as (endpoint, client):
        assert client.complete(many()) == [WHOLE] * 24
        assert len(endpoint.requests) == 25
        assert endpoint.requests[-1]["random_seed"] == 3
        assert client.revision == "m@r1"


def test_dashscope_filters_one_row_and_wants_thinking_switched_off() -> None:
    def dashscope(request: Request) -> str | Answer:
        if "enable_thinking" not in request:
            return refused(
                "parameter.enable_thinking must be set to false for non-streaming calls", code="invalid_parameter_error"
            )
        if ROW in text_of(request):
            return Answer(
                body={
                    "error": {
                        "code": "data_inspection_failed",
                        "param": None,
                        "message": "Input data may contain inappropriate content.",
                        "type": "data_inspection_failed",
                    },
                    "request_id": "1",
                }
            )
        if "long" in text_of(request):
            return refused("Range of input length should be [1, 30720]", code="invalid_parameter_error")
        return SAID

    headers = {"X-DashScope-WorkSpace": "mine"}
    with service(dashscope, extra_headers=headers) as (endpoint, client):
        replies = client.complete([ask("a"), ask(ROW), ask("long"), ask("b")])
        assert [reply.finish_reason for reply in replies] == ["stop", "filtered", "length", "stop"]
        assert [bool(reply.text) for reply in replies] == [True, False, False, True]
        assert endpoint.requests[-1]["enable_thinking"] is False
        assert {each["x-dashscope-workspace"] for each in endpoint.headers} == {"mine"}
        assert client.revision == "m@r1+no thinking"


def test_azure_is_reached_with_its_version_and_its_key_and_filters_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", " canary-key\n")
    filtered = {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
        },
    }

    def azure(request: Request) -> str | Answer:
        return Answer(body={"error": filtered}) if ROW in text_of(request) else SAID

    settings = {"headers_from_env": {"api-key": "AZURE_KEY"}, "api_key_env": ""}
    with scripted_endpoint(azure) as endpoint:
        url = f"{endpoint.base_url.removesuffix('/v1')}/openai/deployments/gpt?api-version=2024-10-21"
        spec = read_spec({"model": "m", "engine": "endpoint", "base_url": url, **settings})
        replies = ChatClient(start_llm(spec), spec).complete([ask("a"), ask(ROW)])
        assert [reply.finish_reason for reply in replies] == ["stop", "filtered"]
        assert endpoint.paths[0] == "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
        assert endpoint.headers[0]["api-key"] == "canary-key"
        assert "authorization" not in endpoint.headers[0]


def test_a_prompt_beyond_llama_cpp_s_context_costs_its_row() -> None:
    too_long = {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 5000,
        "n_ctx": 4096,
    }
    with service(lambda request: Answer(body={"error": too_long}) if ROW in text_of(request) else SAID) as (_, client):
        assert [reply.finish_reason for reply in client.complete([ask(ROW), ask("b")])] == ["length", "stop"]


def test_ollama_says_which_model_it_does_not_have_and_may_do_without_a_schema() -> None:
    missing = {"message": 'model "m" not found, try pulling it first', "type": "api_error", "param": None, "code": None}
    unknown = pytest.raises(EndpointConfigError, match="check model 'm'")
    with service(lambda request: Answer(status=404, body={"error": missing})) as (_, client), unknown:
        client.complete([ask()])

    def ollama(request: Request) -> str | Answer:
        if "long" in text_of(request):
            return refused("input length exceeds maximum context length", type="api_error")
        if format_of(request) is not None:
            return refused("invalid message format: failed to parse grammar", type="api_error")
        return SAID

    with service(ollama) as (_, client):
        assert [reply.finish_reason for reply in client.complete([ask("a"), ask("long")])] == ["stop", "length"]
        assert client.revision == "m@r1+prompt"


def test_an_error_in_the_body_of_a_success_is_read_as_what_it_is() -> None:
    """As OpenRouter passes on what providers say."""
    said: list[object] = [
        {"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "upstream"}}, "user_id": "u"},
        completion("half a th", finish_reason="error", error={"code": 502, "message": "terminated"}),
        {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min"}},
    ]
    moderated = {
        "code": 403,
        "message": "gpt requires moderation on OpenInference. Your input was flagged for harassment.",
        "metadata": {"reasons": ["harassment"], "flagged_input": ROW, "provider_name": "p"},
    }

    def openrouter(request: Request) -> str | Answer:
        if ROW in text_of(request):
            return Answer(status=403, body={"error": moderated})
        return Answer(status=200, body=said.pop(0)) if said else SAID

    with service(openrouter) as (_, client):
        assert client.complete([ask()]) == [WHOLE]
        assert client.usage().faults == 3
        assert client.complete([ask(ROW)])[0].finish_reason == "filtered"


def test_vllm_tells_a_long_prompt_from_a_template_without_a_system_role() -> None:
    error = {"object": "error", "type": "BadRequestError", "param": None, "code": 400}

    def vllm(request: Request) -> str | Answer:
        if '"system"' in text_of(request):
            return Answer(body={**error, "message": "System role not supported"})
        if ROW in text_of(request):
            message = (
                "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens in the "
                "messages, Please reduce the length of the messages."
            )
            return Answer(body={**error, "message": message})
        return SAID

    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    with service(vllm, extra_body=extra) as (endpoint, client):
        replies = client.complete([ask("a"), ask(ROW)])
        assert [reply.finish_reason for reply in replies] == ["stop", "length"]
        assert "Be brief." in text_of(endpoint.requests[-1])
        assert endpoint.requests[-1]["chat_template_kwargs"] == {"enable_thinking": False}


def test_tgi_s_own_refusals_are_retried_or_cost_a_row() -> None:
    passing = [
        Answer(
            status=424, body={"error": "Request failed during generation: Server error: ", "error_type": "generation"}
        ),
        Answer(status=429, body={"error": "Model is overloaded", "error_type": "overloaded"}),
    ]

    def tgi(request: Request) -> str | Answer:
        if ROW in text_of(request):
            message = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"
            return Answer(status=422, body={"error": message, "error_type": "validation"})
        if request.get("temperature") == 0:
            message = "Input validation error: `temperature` must be strictly positive"
            return Answer(status=422, body={"error": message, "error_type": "validation"})
        return passing.pop() if passing else SAID

    with service(tgi) as (endpoint, client):
        assert client.complete([ask("a")]) == [WHOLE]
        assert client.complete([ask(ROW)])[0].finish_reason == "length"
        assert endpoint.requests[-1]["temperature"] == 0.01
        assert client.usage().faults == 2


def test_a_service_with_a_lower_limit_is_asked_for_as_much_as_it_gives() -> None:
    def limited(request: Request) -> str | Answer:
        asked = request.get("max_tokens", 0)
        assert isinstance(asked, int)
        if asked > 4096:
            return refused(
                f"max_tokens is too large: {asked}. This model supports at most 4096 completion tokens, whereas you "
                f"provided {asked}.",
                param="max_tokens",
                code="invalid_value",
            )
        return SAID

    with service(limited) as (endpoint, client):
        assert client.complete([ask(max_tokens=9000)]) == [WHOLE]
        assert [each["max_tokens"] for each in endpoint.requests] == [9000, 4096]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            refused(f"Incorrect API key provided: {ROW}", status=401, code="invalid_api_key"),
            "check the key in OPENAI_API_KEY",
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
