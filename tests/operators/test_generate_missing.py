"""Filling gaps: the model sees the present field and the shots, never a placeholder."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from operators.contract.counts import Transformed
from operators.contract.errors import EndpointError
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.generate_missing import GenerateAnswer, GenerateQuestion
from operators.rows.record import RECORD_SCHEMA
from operators.testing.fakes import FakeCompleter

Rows = tuple[tuple[str, str | None, str | None], ...]
ROWS: Rows = (
    ("a", None, "Spiders have eight legs."),
    ("b", "Which planet is the largest?", None),
    ("c", "Where is Bonn?", "On the Rhine."),
    ("d", None, None),
)
SHOTS: Rows = tuple((f"s{number}", f"What is {number} squared?", f"It is {number * number}.") for number in range(8))


def make_table(rows: Rows) -> pa.Table:
    ids, questions, answers = zip(*rows, strict=True)
    columns = [ids, [[] for _ in rows], questions, answers, ["source"] * len(rows)]
    return pa.table([list(column) for column in columns], schema=RECORD_SCHEMA)


def fill(
    operator: GenerateQuestion | GenerateAnswer,
    reply: Completion | str,
    *,
    rows: Rows = ROWS,
    shots: Rows | None = SHOTS,
) -> tuple[Transformed, list[CompletionRequest]]:
    completer = FakeCompleter(lambda request: reply)
    resources = Resources(completer=completer, shots=make_table(shots) if shots else None)
    return operator.build(resources)(make_table(rows)), completer.requests


def test_a_missing_question_is_written_for_its_answer() -> None:
    out, _ = fill(GenerateQuestion(), "How many legs does a spider have?")
    assert out.table["question"].to_pylist() == ["How many legs does a spider have?", ROWS[1][1], ROWS[2][1], None]
    assert out.table["answer"].to_pylist() == [row[2] for row in ROWS]
    assert out.counts == {"filled": 1, "skipped:both_missing": 1}


def test_a_missing_answer_is_written_for_its_question() -> None:
    out, _ = fill(GenerateAnswer(), "Jupiter is the largest planet.")
    assert out.table["answer"].to_pylist() == [ROWS[0][2], "Jupiter is the largest planet.", ROWS[2][2], None]
    assert out.table["question"].to_pylist() == [row[1] for row in ROWS]


def test_a_filled_row_keeps_its_id_and_is_marked_optimized() -> None:
    out, _ = fill(GenerateAnswer(), "Jupiter is the largest planet.")
    assert out.table["id"].to_pylist() == ["a", "b", "c", "d"]
    assert out.table["origin"].to_pylist() == ["source", "optimized", "source", "source"]


def test_the_model_sees_the_present_field_and_the_shots_in_order() -> None:
    _, (request,) = fill(GenerateQuestion(), "How many legs does a spider have?")
    turns = [json.loads(content) for role, content in request.messages if role != "system"]
    shown = [field for shot in SHOTS[:3] for field in ({"answer": shot[2]}, {"question": shot[1]})]
    assert turns == [*shown, {"answer": ROWS[0][2]}]


def test_answers_are_shown_and_asked_for_as_plain_text() -> None:
    _, (request,) = fill(GenerateAnswer(num_shots=1), "Jupiter is the largest planet.")
    assert [content for _, content in request.messages[1:]] == [SHOTS[0][1], SHOTS[0][2], ROWS[1][1]]
    assert request.json_schema is None


@pytest.mark.parametrize("num_shots", [0, 1, 8])
def test_the_number_of_shots_is_a_parameter(num_shots: int) -> None:
    _, (request,) = fill(GenerateAnswer(num_shots=num_shots), "Jupiter.")
    assert [role for role, _ in request.messages].count("assistant") == num_shots


def test_long_shots_are_passed_over() -> None:
    shots = (("long", "Why? " * 100, "So."), *SHOTS[:2])
    _, (request,) = fill(GenerateAnswer(max_shot_chars=100), "Jupiter.", shots=shots)
    assert "Why? Why?" not in str(request.messages)
    assert [role for role, _ in request.messages].count("assistant") == 2


def test_without_shots_the_instruction_must_do() -> None:
    out, (request,) = fill(GenerateAnswer(), "Jupiter.", shots=None)
    assert [role for role, _ in request.messages] == ["system", "user"]
    assert out.table["answer"].to_pylist()[1] == "Jupiter."


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Completion(text="Jupiter is the", finish_reason="length"), "truncated"),
        ("", "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("The planet is Jupiter.\nAnswer: Jupiter", "label_leak"),
        ("Which planet is the largest?", "copied"),
        ("the planet is " * 10, "repetitive"),
        ("木星是太阳系中最大的行星。", "wrong_language"),
        ('{"reply": "Jupiter"}', "unreadable"),
    ],
)
def test_a_rejected_fill_leaves_the_gap_and_is_counted(reply: Completion | str, reason: str) -> None:
    out, _ = fill(GenerateAnswer(), reply, rows=ROWS[1:2])
    assert out.counts == {f"rejected:{reason}": 1}
    assert out.table.equals(make_table(ROWS[1:2]))


def test_a_question_that_gives_the_answer_away_is_rejected() -> None:
    out, _ = fill(GenerateQuestion(), "Is it true that spiders have eight legs?", rows=ROWS[:1])
    assert out.counts == {"rejected:answered": 1}


def test_a_statement_is_no_question_where_the_shots_ask() -> None:
    out, _ = fill(GenerateQuestion(), "Insects are small.", rows=ROWS[:1])
    assert out.counts == {"rejected:not_a_question": 1}


def test_an_instruction_is_fine_where_the_shots_instruct() -> None:
    shots = (("s", "Name a city.", "Bonn."),)
    out, _ = fill(GenerateQuestion(), "Tell me about the limbs of spiders.", rows=ROWS[:1], shots=shots)
    assert out.counts == {"filled": 1}


def test_a_copied_shot_is_rejected() -> None:
    shots = (("s", "Tell me the way to the station.", "Left."),)
    out, _ = fill(GenerateQuestion(), "Tell me the way to the station!", rows=ROWS[:1], shots=shots)
    assert out.counts == {"rejected:copied": 1}


def test_a_fault_of_the_endpoint_is_no_verdict() -> None:
    def fail(request: CompletionRequest) -> str:
        raise EndpointError("refused")

    transform = GenerateAnswer().build(Resources(completer=FakeCompleter(fail)))
    with pytest.raises(EndpointError):
        transform(make_table(ROWS))


def test_the_cut_into_batches_does_not_matter() -> None:
    completer = FakeCompleter(lambda request: f"It is number {request.seed % 97}.")
    transform = GenerateAnswer().build(Resources(completer=completer, shots=make_table(SHOTS)))
    table = make_table(tuple((f"r{number}", f"What is number {number}?", None) for number in range(7)))
    parts = [transform(table.slice(low, 3)).table for low in (0, 3, 6)]
    assert pa.concat_tables(parts).equals(transform(table).table)


def test_operators_ask_for_more_shots_than_they_show_by_default() -> None:
    for operator in (GenerateQuestion(), GenerateAnswer()):
        assert operator.needs.shots >= operator.num_shots == 3
