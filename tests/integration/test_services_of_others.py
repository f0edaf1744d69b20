"""Chat services that are OpenAI-compatible in their own ways, scripted from what their documents and users say.

Each refuses with the status, code and words that it is known for; the text of a row that is refused is `ROW`.
"""

from __future__ import annotations

import pytest

from actors.llm.client import ChatClient
from actors.llm.server import start_llm
from actors.llm.spec import read_spec
from actors.web import retry
from operators.contract.errors import EndpointConfigError
from tests.integration.scripted_endpoint import Answer, Request, completion, scripted_endpoint
from tests.integration.service_scripts import ROW, SAID, WHOLE, ask, format_of, many, refused, service, text_of


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_S", 0.002)


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
