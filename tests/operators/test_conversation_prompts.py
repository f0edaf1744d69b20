"""What prompts show of a conversation with tools, and which of its gaps are asked about."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.generate_missing import GenerateAnswer, GenerateQuestion
from operators.optimize import OptimizeAnswer
from operators.rows.conversation import extra_text, turns_to_show
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS

SCHEMA = RECORD_SCHEMA.set(1, pa.field("history", pa.list_(TURN_WITH_KEYS)))
CALL = {"tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]}


def _turn(role: str, content: str | None, **extra: object) -> dict[str, str | None]:
    return {"role": role, "content": content, "extra": extra_text(extra)}


USED_A_TOOL = [
    _turn("system", "Be brief."),
    _turn("user", None),
    _turn("assistant", "", **CALL),
    _turn("tool", "12 degrees"),
    _turn("assistant", None, reasoning_content="Hm."),
]
CALLS_A_TOOL = [_turn("assistant", None, **CALL)]


class _Scripted:
    """Replies with one text and remembers what it was asked."""

    revision = "scripted"

    def __init__(self, text: str) -> None:
        self.text = text
        self.prompts: list[str] = []

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        self.prompts += ["\n".join(content for _, content in request.messages) for request in requests]
        return [Completion(text=self.text, finish_reason="stop") for _ in requests]


def _table(history: list[dict[str, str | None]], question: str | None, answer: str | None) -> pa.Table:
    row = {"id": "1", "history": history, "question": question, "answer": answer, "origin": "source"}
    return pa.Table.from_pylist([row], schema=SCHEMA)


def test_calls_and_results_are_shown_after_the_question_that_they_answer_to() -> None:
    assert turns_to_show(USED_A_TOOL, "How warm is it?") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How warm is it?"},
        {"role": "assistant", "content": 'weather({"city": "Oslo"})'},
        {"role": "tool", "content": "12 degrees"},
    ]


def test_places_without_turns_behind_them_are_not_shown() -> None:
    assert turns_to_show([_turn("user", None, images=["a.png"])], "What is it?") == []
    assert turns_to_show(None, "What is it?") == []


def test_an_answer_that_follows_tool_results_is_rewritten_with_them_in_view() -> None:
    model = _Scripted('{"answer": "It is 12 degrees warm."}')
    out = OptimizeAnswer().build(Resources(completer=model))(_table(USED_A_TOOL, "How warm is it?", "It is 12."))
    assert out.table["answer"].to_pylist() == ["It is 12 degrees warm."]
    assert out.table["history"].to_pylist() == [USED_A_TOOL]
    [prompt] = model.prompts
    assert prompt.index("weather(") < prompt.index("12 degrees")


def test_an_answer_after_a_tool_result_is_generated_from_the_result() -> None:
    model = _Scripted("It is 12 degrees warm.")
    out = GenerateAnswer(num_shots=0).build(Resources(completer=model))(
        _table(USED_A_TOOL[:4], "How warm is it?", None)
    )
    assert out.table["answer"].to_pylist() == ["It is 12 degrees warm."]
    assert "12 degrees" in model.prompts[0]


def test_an_answer_that_calls_a_tool_is_no_gap() -> None:
    model = _Scripted("An answer.")
    for operator in (GenerateAnswer(num_shots=0), GenerateQuestion(num_shots=0), OptimizeAnswer()):
        for question in ("How warm is it?", None):
            table = _table(CALLS_A_TOOL, question, None)
            assert operator.build(Resources(completer=model))(table).table.equals(table)
    assert model.prompts == []
