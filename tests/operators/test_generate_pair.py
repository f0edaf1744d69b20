"""New pairs: how many, from which shots, under which ids, and never a copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.contract.errors import EndpointError
from operators.contract.operator import Decision
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.generate_pair import GeneratePair, PairGenerator
from operators.llm.prompting import pair_json
from operators.rows.record import RECORD_SCHEMA
from operators.testing.fakes import FakeCompleter

TOPICS = ("glaciers", "violins", "tax law", "bees", "steam engines", "opera", "chess", "volcanoes", "bread", "comets")
SCHEMA = RECORD_SCHEMA.append(pa.field("level", pa.int64()))


def make_table(num_rows: int = 20, *, holes: bool = True) -> pa.Table:
    """Rows about numbers; every fifth has no answer."""
    questions = [f"Is {number * 7919} a prime number?" for number in range(num_rows)]
    answers = [None if holes and number % 5 == 4 else f"Number {number} is not." for number in range(num_rows)]
    ids = [f"r{number}" for number in range(num_rows)]
    columns = [ids, [[]] * num_rows, questions, answers, ["source"] * num_rows, list(range(num_rows))]
    return pa.table(columns, schema=SCHEMA)


def about_a_topic(request: CompletionRequest) -> str:
    """A fresh pair; which one follows from the seed."""
    first, second = TOPICS[request.seed % 10], TOPICS[request.seed // 10 % 10]
    text = f"How did {first} of kind {request.seed} change {second} in the year {request.seed // 7}?"
    return pair_json(text, f"They changed it little, all told ({request.seed}).")


def generator(
    spec: GeneratePair, reply: Callable[[CompletionRequest], Completion | str] = about_a_topic
) -> tuple[PairGenerator, FakeCompleter]:
    completer = FakeCompleter(reply)
    return spec.build(Resources(completer=completer)), completer


def decide(spec: GeneratePair, reply: Callable[[CompletionRequest], Completion | str] = about_a_topic) -> Decision:
    parts, _ = generator(spec, reply)
    return parts.decide([parts.sketch(make_table())])


def appended(decision: Decision) -> pa.Table:
    assert isinstance(decision.appended, pa.Table)
    return decision.appended


@pytest.mark.parametrize(
    ("spec", "num_new"),
    [
        (GeneratePair(), 2),
        (GeneratePair(target_frac=0.5), 10),
        (GeneratePair(target_rows=7), 7),
        (GeneratePair(target_rows=7, max_rows=3), 3),
        (GeneratePair(target_frac=0.01), 1),
        (GeneratePair(target_rows=0), 0),
    ],
)
def test_the_target_is_met(spec: GeneratePair, num_new: int) -> None:
    decision = decide(spec)
    assert appended(decision).num_rows == num_new
    assert decision.counts == ({"generated": num_new} if num_new else {})


def test_new_rows_are_whole_records_of_the_datasets_schema() -> None:
    rows = appended(decide(GeneratePair(target_rows=5)))
    assert rows.schema.equals(SCHEMA)
    assert rows["origin"].to_pylist() == ["generated"] * 5
    assert rows["history"].to_pylist() == [[]] * 5
    assert rows["level"].null_count == 5
    assert rows["question"].null_count == rows["answer"].null_count == 0
    assert len(set(rows["id"].to_pylist())) == 5


def test_batches_pass_through_unchanged() -> None:
    parts, _ = generator(GeneratePair())
    table = make_table()
    out = parts.apply(table, parts.decide([parts.sketch(table)]))
    assert out.table.equals(table)
    assert out.counts == {}


@settings(max_examples=20)
@given(order=st.permutations(range(20)), cut=st.integers(min_value=0, max_value=20))
def test_the_decision_does_not_depend_on_order_or_cut(order: list[int], cut: int) -> None:
    parts, _ = generator(GeneratePair(target_rows=4, shot_pool_rows=6))
    whole = parts.decide([parts.sketch(make_table())])
    table = make_table().take(order)
    split = parts.decide([parts.sketch(table.slice(0, cut)), parts.sketch(table.slice(cut))])
    assert appended(split).equals(appended(whole))
    assert split.counts == whole.counts


def test_candidates_are_shown_different_complete_shots() -> None:
    parts, completer = generator(GeneratePair(target_rows=6))
    parts.decide([parts.sketch(make_table())])
    complete = {(row["question"], row["answer"]) for row in make_table().to_pylist() if row["answer"] is not None}
    shown = [
        [tuple(json.loads(content).values()) for role, content in request.messages if role == "assistant"]
        for request in completer.requests
    ]
    assert all(len(set(shots)) == 3 and set(shots) <= complete for shots in shown)
    assert len({tuple(shots) for shots in shown}) == 6
    assert len({request.seed for request in completer.requests}) == 6


def test_shots_come_from_the_pool_and_long_rows_are_no_shots() -> None:
    parts, completer = generator(GeneratePair(target_rows=9, shot_pool_rows=3, max_shot_chars=44))
    table = make_table()
    parts.decide([parts.sketch(table)])
    shots = {content for request in completer.requests for role, content in request.messages if role == "assistant"}
    assert len(shots) == 3
    assert all(len("".join(json.loads(shot).values())) <= 44 for shot in shots)


def test_a_seed_gives_the_same_rows_and_another_seed_others() -> None:
    first, again, other = (appended(decide(GeneratePair(target_rows=4, seed=seed))) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not set(first["id"].to_pylist()) & set(other["id"].to_pylist())


def test_a_copy_of_an_existing_question_is_rejected() -> None:
    decision = decide(
        GeneratePair(target_rows=2, max_waves=1), lambda request: pair_json("IS 7919 A PRIME NUMBER?", "It is.")
    )
    assert appended(decision).num_rows == 0
    assert decision.counts == {"rejected:near_copy": 2, "shortfall": 2}


def test_a_question_of_an_incomplete_row_counts_as_existing() -> None:
    incomplete = make_table()["question"].to_pylist()[4]
    decision = decide(GeneratePair(target_rows=1, max_waves=1), lambda request: pair_json(incomplete, "It is not."))
    assert decision.counts == {"rejected:near_copy": 1, "shortfall": 1}


def test_of_equal_candidates_the_first_is_accepted() -> None:
    reply = pair_json("How do bees find their way back?", "By the sun.")
    decision = decide(GeneratePair(target_rows=3, max_waves=2), lambda request: reply)
    assert appended(decision)["question"].to_pylist() == ["How do bees find their way back?"]
    assert decision.counts == {"generated": 1, "rejected:near_copy": 4, "shortfall": 2}


def test_later_waves_ask_only_for_what_is_missing_and_are_bounded() -> None:
    calls = count()
    sizes: list[int] = []

    def half_bad(request: CompletionRequest) -> str:
        return about_a_topic(request) if next(calls) % 2 else "no json"

    class Counting(FakeCompleter):
        def complete(self, requests: object) -> list[Completion]:
            replies = super().complete(requests)  # type: ignore[arg-type]
            sizes.append(len(replies))
            return replies

    parts = GeneratePair(target_rows=8, max_waves=3).build(Resources(completer=Counting(half_bad)))
    decision = parts.decide([parts.sketch(make_table())])
    assert sizes == [8, 4, 2]
    assert decision.counts == {"generated": 7, "rejected:unreadable": 7, "shortfall": 1}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Completion(text=pair_json("Who was Ada?", "A mathematician."), finish_reason="length"), "truncated"),
        ("no json", "unreadable"),
        (pair_json("", ""), "empty"),
        (pair_json("Who was Ada?", "I'm sorry, but I can't help with that."), "refused"),
        (pair_json("Who was Ada?", "Answer: a mathematician"), "label_leak"),
        (pair_json("Who was Ada?", "Who was Ada?"), "copied"),
        (pair_json("Ada was someone.", "A mathematician."), "not_a_question"),
        (pair_json("Was Ada a mathematician?", "A mathematician."), "answered"),
        (pair_json("Who was Ada?", "who was it " * 8), "repetitive"),
        (pair_json("艾达是谁？她做了什么？", "她是一位数学家。"), "wrong_language"),
    ],
)
def test_a_faulty_candidate_is_rejected_by_name(reply: Completion | str, reason: str) -> None:
    decision = decide(GeneratePair(target_rows=1, max_waves=1), lambda request: reply)
    assert decision.counts == {f"rejected:{reason}": 1, "shortfall": 1}


def test_a_second_generation_takes_new_ids() -> None:
    parts, _ = generator(GeneratePair(target_rows=3, shot_pool_rows=1))
    shot = make_table(1)
    first = appended(parts.decide([parts.sketch(shot)]))
    gaps = first.set_column(3, SCHEMA.field(3), pa.nulls(3, pa.string()))
    second = appended(parts.decide([parts.sketch(pa.concat_tables([shot, gaps]))]))
    assert second.num_rows == 3
    assert not set(first["id"].to_pylist()) & set(second["id"].to_pylist())


def test_without_complete_rows_nothing_is_asked() -> None:
    parts, completer = generator(GeneratePair(target_rows=2))
    table = make_table().filter(pa.array([number % 5 == 4 for number in range(20)]))
    decision = parts.decide([parts.sketch(table)])
    assert completer.requests == []
    assert decision.counts == {"shortfall": 2}
    assert appended(decision).num_rows == 0


def test_a_fault_of_the_endpoint_is_no_verdict() -> None:
    def fail(request: CompletionRequest) -> str:
        raise EndpointError("503")

    with pytest.raises(EndpointError):
        decide(GeneratePair(), fail)
