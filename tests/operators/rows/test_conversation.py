"""A record as the conversation that it was."""

from __future__ import annotations

import pyarrow as pa

from operators.rows.conversation import (
    answers_by_call,
    answers_without_loss,
    carries_loss,
    extra_text,
    messages_of,
)
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS, has_texts, is_complete

CALL = {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]}


def _turn(role: str, content: str | None, **extra: object) -> dict[str, str | None]:
    return {"role": role, "content": content, "extra": extra_text(extra)}


def test_a_plain_row_is_its_history_and_its_pair() -> None:
    history = [_turn("system", "Be brief."), _turn("user", "Hi"), _turn("assistant", "Hello")]
    assert messages_of(history, "How are you?", "Fine.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "How are you?"},
        {"role": "assistant", "content": "Fine."},
    ]


def test_calls_and_results_stand_between_question_and_answer() -> None:
    history = [
        _turn("user", None, images=["a.png"]),
        _turn("assistant", "", **CALL),
        _turn("tool", "12 degrees", tool_call_id="1"),
        _turn("assistant", None, reasoning_content="It is cold."),
    ]
    assert messages_of(history, "Weather?", "Take a coat.") == [
        {"role": "user", "content": "Weather?", "images": ["a.png"]},
        {"role": "assistant", "content": "", **CALL},
        {"role": "tool", "content": "12 degrees", "tool_call_id": "1"},
        {"role": "assistant", "content": "Take a coat.", "reasoning_content": "It is cold."},
    ]


def test_a_missing_part_of_the_pair_is_a_message_without_content() -> None:
    assert messages_of(None, "Why?", None)[-1] == {"role": "assistant", "content": None}
    assert messages_of([], None, "Because.")[0] == {"role": "user", "content": None}


def test_an_answer_that_calls_a_tool_is_complete_without_text() -> None:
    histories = [
        [],
        [_turn("assistant", None, **CALL)],
        [_turn("assistant", None, reasoning_content="Hm.")],
        [_turn("user", None), _turn("assistant", "", **CALL), _turn("tool", "12")],
        None,
    ]
    assert answers_by_call(pa.array(histories, pa.list_(TURN_WITH_KEYS))).to_pylist() == [
        False,
        True,
        False,
        False,
        False,
    ]
    table = pa.Table.from_pylist(
        [
            {"id": str(at), "history": history, "question": "q", "answer": None, "origin": "source"}
            for at, history in enumerate(histories)
        ],
        schema=RECORD_SCHEMA.set(1, pa.field("history", pa.list_(TURN_WITH_KEYS))),
    )
    assert is_complete(table).to_pylist() == [False, True, False, False, False]
    assert has_texts(table).to_pylist() == [False] * 5
    assert is_complete(table.slice(1)).to_pylist() == [True, False, False, False]


def test_an_answer_of_weight_0_carries_no_loss_in_a_table_as_in_a_message() -> None:
    said: list[dict[str, object]] = [
        {},
        {"weight": 0},
        {"weight": 1},
        {"weight": 0.0, "x": 1},
        {"weight": 0.5},
        {"name": '{"weight": 0}'},
    ]
    histories = [[_turn("assistant", "earlier", weight=0), _turn("assistant", None, **extra)] for extra in said]
    histories.append([_turn("assistant", "earlier", weight=0)])
    expected = [not carries_loss(messages_of(history, "q", "a")[-1]) for history in histories]
    assert expected == [False, True, False, True, False, False, False]
    assert answers_without_loss(pa.array(histories, pa.list_(TURN_WITH_KEYS))).to_pylist() == expected
