"""What a model meant is read out of what it wrote, however sloppily."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.replies.parsing import fields_schema, parse_fields, unwrap_text

PAIR = ("question", "answer")


@pytest.mark.parametrize(
    "reply",
    [
        '{"question": "Why?", "answer": "So."}',
        '```json\n{"question": "Why?", "answer": "So."}\n```',
        '<think>They want {JSON}.</think>\n{"question": "Why?", "answer": "So."}',
        "{'question': 'Why?', 'answer': 'So.'}",
        '{"Question": "Why?", "Answer": "So.",}',
        '{"question": "Why?", "answer": "So."',
        'Here you go: {"question": "Why?", "answer": "So."} Done.',
        '[{"question": "Why?", "answer": "So."}]',
        '{"question": "Why?, ", "answer": "So."}',
        "Question: Why?\nAnswer: So.",
        "**Question:** Why?\n\n**Answer:** So.",
        '{"问题": "Why?", "答案": "So."}',
        "问题：Why?\n答案：So.",
    ],
)
def test_a_pair_is_read_from_json_sloppy_json_and_labels(reply: str) -> None:
    assert parse_fields(reply, PAIR) == {"question": "Why?", "answer": "So."}


@pytest.mark.parametrize("reply", ["", "So.", '{"question": "Why?"}', '{"question": 3, "answer": "So."}', "{", "[]"])
def test_what_is_no_pair_is_none(reply: str) -> None:
    assert parse_fields(reply, PAIR) is None


@pytest.mark.parametrize("reply", ["So.", ' "So." ', '{"answer": "So."}', "“So.”", "<think>hm</think>So."])
def test_plain_text_stands_for_a_single_field(reply: str) -> None:
    assert parse_fields(reply, ("answer",)) == {"answer": "So."}


def test_braces_inside_a_plain_answer_stay() -> None:
    assert parse_fields("Use the set {1, 2}.", ("answer",)) == {"answer": "Use the set {1, 2}."}


def test_json_that_lacks_the_single_field_is_none() -> None:
    assert parse_fields('{"question": "Why?"}', ("answer",)) is None


def test_quotes_that_do_not_enclose_the_whole_reply_stay() -> None:
    assert unwrap_text('"Yes" and "no".') == '"Yes" and "no".'
    assert unwrap_text('"Yes" and "no"') == '"Yes" and "no"'


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_valid_json_comes_back_as_it_was_written(question: str, answer: str) -> None:
    found = parse_fields(json.dumps({"question": f"{question}x", "answer": f"{answer}x"}), PAIR)
    assert found == {"question": f"{question}x".strip(), "answer": f"{answer}x".strip()}


def test_the_schema_asks_for_exactly_the_fields() -> None:
    schema = json.loads(fields_schema(("answer",)))
    assert schema["required"] == ["answer"]
    assert schema["additionalProperties"] is False
