from __future__ import annotations

import json
from typing import Any

import pytest

from actors.llm.reply_body import NoCompletionError, completion_of, finish_reason, read_json
from operators.contract.resources import Completion

NO_ENDS: list[object] = ["", None, 5, "tool_calls", "function_call", "banana", {}, "x" * 10_000]


def body(
    content: object = "Rest.", *, reason: object = "stop", usage: object = None, **message: object
) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    return {"choices": [choice], "usage": usage}


def read(said: object) -> Completion:
    return completion_of(read_json(json.dumps(said).encode()), max_tokens=100)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Rest.", "Rest."),
        (None, ""),
        ("", ""),
        ([{"type": "text", "text": "Re"}, {"type": "text", "text": "st."}], "Rest."),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Rest."}],
            "Rest.",
        ),
        ([{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "Rest."}], "Rest."),
        (["Re", "st."], "Rest."),
        ({"type": "text", "text": "Rest."}, "Rest."),
        ([], ""),
        ([{"type": "image_url", "image_url": {"url": "x"}}], ""),
    ],
)
def test_content_is_its_text_however_it_is_given(content: object, text: str) -> None:
    assert read(body(content)).text == text


def test_reasoning_is_never_part_of_the_text() -> None:
    assert read(body(reasoning_content="hm", reasoning="hm", reasoning_details=[{"text": "hm"}])).text == "Rest."
    assert read(body(None, reasoning_content="hm")).text == ""


@pytest.mark.parametrize(
    "said",
    [
        body(5),
        body(True),
        body([5]),
        body([{"type": "text", "text": 5}]),
        body([{"type": ["text"], "text": "Rest."}]),
        {"choices": 5},
        {"choices": []},
        {"choices": {}},
        {"choices": ["text"]},
        {"choices": [{"message": "text"}]},
        {"choices": [{"message": None}]},
        {"choices": [{}]},
        {"choices": None, "detail": "hello"},
        [],
        "text",
        5,
        None,
    ],
)
def test_what_is_no_completion_is_none(said: object) -> None:
    with pytest.raises(NoCompletionError):
        read(said)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff\xfe{}", "no UTF-8"),
        ('{"choices": "\u00e9"}'.encode("latin-1"), "no UTF-8"),
        (b"<html>gateway</html>", "no JSON"),
        (json.dumps(body()).encode()[:-20], "no JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "no JSON"),
    ],
)
def test_bytes_that_are_no_json_are_named(data: bytes, named: str) -> None:
    with pytest.raises(NoCompletionError, match=named):
        read_json(data)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert completion_of(read_json(b"\xef\xbb\xbf" + json.dumps(body()).encode()), max_tokens=9).text == "Rest."


def test_half_a_character_is_replaced_and_the_reply_counts_as_cut() -> None:
    broken = read(body("Rest \ud83d"))
    assert (broken.text, broken.finish_reason) == ("Rest \ufffd", "length")
    assert read(body("\ude00\ud83d")).text == "\ufffd\ufffd"
    whole = completion_of(
        read_json(b'{"choices": [{"message": {"content": "\\ud83d\\ude00"}, "finish_reason": "stop"}]}'), max_tokens=9
    )
    assert (whole.text, whole.finish_reason) == ("\U0001f600", "stop")


@pytest.mark.parametrize("count", [-5, 1e30, "7", None, True, [7], 1.5, float("inf"), float("nan"), 10**40])
def test_a_count_that_is_none_counts_nothing(count: object) -> None:
    reply = read(body(usage={"prompt_tokens": count, "completion_tokens": count}))
    assert (reply.prompt_tokens, reply.completion_tokens) == (0, 0)


@pytest.mark.parametrize("usage", [5, "text", [], None, {}])
def test_usage_that_is_none_counts_nothing(usage: object) -> None:
    assert read(body(usage=usage)).prompt_tokens == 0
    assert read(body(usage={"prompt_tokens": 7.0, "completion_tokens": 3})).prompt_tokens == 7


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        *(
            (word, "stop")
            for word in ("stop", "STOP", "eos", "end_turn", "stop_sequence", "eos_token", "FINISH_REASON_STOP")
        ),
        *(
            (word, "length")
            for word in ("length", "LENGTH", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens")
        ),
        *(
            (word, "filtered")
            for word in ("content_filter", "SAFETY", "sensitive", "refusal", "RECITATION", "content-filter")
        ),
        *((other, "unknown") for other in NO_ENDS),
    ],
)
def test_an_end_is_one_of_four_whatever_a_service_calls_it(said: object, reason: str) -> None:
    assert finish_reason(said) == reason
    assert read(body(reason=said)).finish_reason == reason


def test_an_unknown_end_at_the_limit_is_one_by_length() -> None:
    assert read(body(reason=None, usage={"completion_tokens": 100})).finish_reason == "length"
    assert read(body(reason=None, usage={"completion_tokens": 99})).finish_reason == "unknown"


def test_a_refusal_in_its_own_field_is_a_filtered_reply() -> None:
    reply = read(body(None, refusal="I cannot help with that."))
    assert (reply.text, reply.finish_reason) == ("", "filtered")
