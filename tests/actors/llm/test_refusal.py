from __future__ import annotations

import json

import pytest

from actors.llm.refusal import Meaning, Refusal

SENT = ("model", "messages", "max_tokens", "temperature", "seed", "response_format")


def openai_like(message: str, **fields: object) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", **fields}}).encode()


FILTERED = [
    (400, openai_like("Input data may contain inappropriate content.", code="data_inspection_failed")),
    (
        400,
        b'{"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}',
    ),
    (400, openai_like("The response was filtered", code="content_filter")),
    (400, openai_like("Your request was rejected as a result of our safety system.", code="content_policy_violation")),
    (
        400,
        openai_like("Invalid prompt: we've limited access to this content for safety reasons", code="invalid_prompt"),
    ),
    (400, openai_like("Content Exists Risk")),
    (400, openai_like("系统检测到输入或生成内容可能包含不安全或敏感内容", code="1301")),
    (400, openai_like("The request was rejected because it was considered high risk", type="content_filter")),
    (400, openai_like("The input text may contain sensitive information", code="InputTextSensitiveContentDetected")),
    (400, openai_like("Output blocked by content filtering policy")),
    (403, openai_like("Your input was flagged for harassment", code=403)),
    (
        403,
        openai_like("Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", code="permission-denied"),
    ),
    (422, openai_like("prompt was flagged by the moderation endpoint")),
    (451, openai_like("The content you provided or machine outputted is blocked", type="censorship_blocked")),
    (400, b'{"error": {"code": 400, "message": "blocked", "status": "PROHIBITED_CONTENT"}}'),
]
TOO_LONG = [
    (400, openai_like("This model's maximum context length is 8192 tokens.", code="context_length_exceeded")),
    (400, openai_like("the request exceeds the available context size", type="exceed_context_size_error")),
    (400, openai_like("Range of input length should be [1, 6000]", code="InvalidParameter")),
    (400, openai_like("prompt is too long: 210000 tokens > 200000 maximum")),
    (400, openai_like("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")),
    (
        400,
        openai_like("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", code=3051),
    ),
    (400, openai_like("Invalid request: Your request exceeded model token limit: 8192")),
    (400, openai_like("The decoder prompt (length 5000) is longer than the maximum model length of 4096.")),
    (400, openai_like("The input (5000 tokens) is longer than the model's context length (4096 tokens).")),
    (400, openai_like("This model's maximum prompt length is 131072 but the request contains 200000 tokens.")),
    (
        400,
        openai_like(
            "Invalid 'messages[0].content': string too long.", code="string_above_max_length", param="messages"
        ),
    ),
    (400, openai_like("Input is too long for requested model.")),
    (400, openai_like("Prompt 超长", code="1261")),
    (400, openai_like("输入长度超过模型上下文限制")),
    (413, b"<html>413 Request Entity Too Large</html>"),
    (413, openai_like("Request body too large for gpt-4o model. Max size: 8000 tokens.", code="tokens_limit_reached")),
    (422, b'{"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 5000"}'),
    (400, b"input length exceeds the context length"),
    (500, openai_like("Context size has been exceeded.", type="server_error")),
    (
        429,
        openai_like(
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000.",
            code="rate_limit_exceeded",
        ),
    ),
]


@pytest.mark.parametrize(("status", "body"), FILTERED)
def test_a_filtered_text_is_known_in_the_words_of_many_services(status: int, body: bytes) -> None:
    assert Refusal.of(status, body).meaning() is Meaning.FILTERED


@pytest.mark.parametrize(("status", "body"), TOO_LONG)
def test_a_text_that_is_too_long_is_known_in_the_words_of_many_services(status: int, body: bytes) -> None:
    refusal = Refusal.of(status, body)
    assert refusal.meaning() is Meaning.TOO_LONG
    assert status not in (429, 500) or refusal.is_certain()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (openai_like("Unsupported value", param="temperature"), ["temperature"]),
        (openai_like("Invalid value", param="response_format.type"), ["response_format"]),
        (openai_like("This response_format type is unavailable now"), ["response_format"]),
        (openai_like("'json_schema' is not supported by this model"), ["response_format"]),
        (openai_like("Structured outputs are not supported"), ["response_format"]),
        (openai_like("model features structured outputs not support"), ["response_format"]),
        (openai_like("参数temperature不支持"), ["temperature"]),
        (openai_like("temperature: input should be less than or equal to 1"), ["temperature"]),
        (openai_like("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"), ["max_tokens"]),
        (openai_like("max_tokens exceeds the maximum of 4096"), ["max_tokens"]),
        (
            b'{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}',
            ["seed"],
        ),
        (
            b'{"detail": [{"loc": ["body", "seed"]}, {"loc": ["body", "response_format", "type"]}]}',
            ["seed", "response_format"],
        ),
        (openai_like("Unrecognized request argument supplied: seed"), ["seed"]),
        (openai_like("header names are case-sensitive"), []),
        (openai_like("Bad request"), []),
        (b"", []),
        (b"{" * 100_000, []),
    ],
)
def test_a_refusal_of_the_form_names_its_fields(body: bytes, fields: list[str]) -> None:
    refusal = Refusal.of(400, body)
    assert refusal.meaning() is Meaning.REQUEST
    assert refusal.fields(SENT) == fields


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (403, openai_like("Your account was flagged and terminated for violating our usage policies"), Meaning.KEY),
        (
            403,
            openai_like("Country, region, or territory not supported", code="unsupported_country_region"),
            Meaning.KEY,
        ),
        (400, openai_like("Incorrect API key provided"), Meaning.KEY),
        (400, openai_like("invalid model ID"), Meaning.MODEL),
        (429, openai_like("余额不足或无可用资源包,请充值。", code="1113"), Meaning.QUOTA),
        (
            429,
            openai_like("Your account is suspended, check your plan", type="exceeded_current_quota_error"),
            Meaning.QUOTA,
        ),
    ],
)
def test_what_is_the_user_s_matter_is_no_row_s(status: int, body: bytes, meaning: Meaning) -> None:
    assert Refusal.of(status, body).meaning() is meaning


@pytest.mark.parametrize(
    "message",
    [
        "Rate limit reached for requests per min. Limit: 3, Used: 3.",
        "You exceeded your current quota, please retry in 34s. RESOURCE_EXHAUSTED",
        "Too many requests in route",
        "The engine is currently overloaded, please try again later",
    ],
)
def test_a_rate_limit_passes(message: str) -> None:
    assert not Refusal.of(429, openai_like(message)).is_certain()


def test_what_a_service_gives_back_of_the_request_is_not_read() -> None:
    body = {
        "detail": [
            {"type": "value_error", "loc": ["body", "x"], "msg": "no", "input": "content filter, context length"}
        ]
    }
    assert Refusal.of(400, json.dumps(body).encode()).meaning() is Meaning.REQUEST


def test_a_refusal_of_any_size_is_read_in_time() -> None:
    for unit in ("input ", "exceed ", "content ", "violates ", "model ", "max_tokens ", "(", "a" * 50 + " "):
        Refusal.of(400, openai_like(unit * (1_000_000 // len(unit)))).meaning()
