"""The text of a row that an encoder sees: question and answer always fit in it, and system prompts are not in it."""

from __future__ import annotations

import json

import pyarrow as pa

from actors.data.embedded_text import row_texts
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS

SCHEMA = RECORD_SCHEMA.set(1, pa.field("history", pa.list_(TURN_WITH_KEYS)))
SYSTEM = {"role": "system", "content": "You are careful. " * 200, "extra": None}


def _text(*, question: str | None, answer: str | None, history: list[dict[str, str | None]] | None = None) -> str:
    row = {"id": "a", "history": history or [], "question": question, "answer": answer, "origin": "source"}
    (text,) = row_texts(pa.Table.from_pylist([row], schema=SCHEMA))
    return text


def test_rows_under_one_long_system_prompt_have_texts_of_their_own() -> None:
    assert _text(question="What is gout?", answer="A disease.", history=[SYSTEM]) == "What is gout?\nA disease."


def test_what_is_asked_stays_before_and_after_a_long_passage_and_the_answer_fits_too() -> None:
    passage = "The heart pumps blood through the body. " * 60
    for question in (f"Why so?\n{passage}", f"{passage}\nWhy so?"):
        text = _text(question=question, answer="Because. " + passage)
        assert "Why so?" in text[:1000]
        assert "Because." in text[:1000]
    chinese = "心脏把血液送到全身，瓣膜让血液只向一个方向流动。" * 20
    text = _text(question=f"{chinese}请问为什么？", answer=f"因为这样。{chinese}")
    assert "请问为什么？" in text[:240]
    assert "因为这样。" in text[:240]


def test_rows_that_differ_in_a_tool_call_or_a_context_alone_have_different_texts() -> None:
    calls = [[{"function": {"name": "find", "arguments": name}}] for name in ("Rome", "Oslo")]
    places = [{"role": "assistant", "content": None, "extra": json.dumps({"tool_calls": one})} for one in calls]
    assert len({_text(question="Find it.", answer=None, history=[SYSTEM, place]) for place in places}) == 2
    rows = pa.table(
        {
            "id": ["a", "b", "c"],
            "history": pa.array([[]] * 3, pa.list_(TURN_WITH_KEYS)),
            "question": ["What is it?"] * 3,
            "answer": ["An animal."] * 3,
            "context": ["A cat sleeps.", "A dog barks.", None],
            "source": ["x", "y", "z"],
        }
    )
    assert row_texts(rows) == [
        "What is it?\nAn animal.\nA cat sleeps.",
        "What is it?\nAn animal.\nA dog barks.",
        "What is it?\nAn animal.",
    ]
    assert row_texts(rows, content=()) == ["What is it?\nAn animal."] * 3
