"""Rewriting: what is asked, what is written back, and what a reply must not do."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contract.errors import EndpointError
from operators.contract.operator import RowTransform
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.llm.prompting import Decoding, pair_json
from operators.optimize import OptimizeAnswer, OptimizePair, OptimizeQuestion
from operators.rows.record import RECORD_SCHEMA
from operators.testing.fakes import FakeCompleter

Reply = Callable[[CompletionRequest], Completion | str]
ROWS = (
    ("a", "how many legs has a spider", "a spider has eight legs"),
    ("b", "Which planet is the largest one?", "Jupiter"),
    ("c", None, "An answer without its question."),
    ("d", "A question without its answer?", None),
    ("e", "why is the sky blue", "blue light is scattered more than red light"),
)


def make_table(rows: tuple[tuple[str, str | None, str | None], ...] = ROWS) -> pa.Table:
    ids, questions, answers = zip(*rows, strict=True)
    schema = RECORD_SCHEMA.append(pa.field("level", pa.int64()))
    columns = [ids, [[] for _ in rows], questions, answers, ["source"] * len(rows), range(len(rows))]
    return pa.table([list(column) for column in columns], schema=schema)


def last_pair(request: CompletionRequest) -> dict[str, str]:
    """The pair that a request is about."""
    text = request.messages[-1][1]
    return dict(json.loads(text[text.index("{") :]))


def capitalise(request: CompletionRequest) -> str:
    """What a good editor would do with these rows."""
    pair = last_pair(request)
    question = pair["question"][:1].upper() + pair["question"][1:].rstrip("?") + "?"
    return pair_json(question, pair["answer"][:1].upper() + pair["answer"][1:].rstrip(".") + ".")


def build(
    operator: OptimizePair | OptimizeQuestion | OptimizeAnswer, reply: Reply
) -> tuple[RowTransform, FakeCompleter]:
    completer = FakeCompleter(reply)
    return operator.build(Resources(completer=completer)), completer


def test_both_fields_of_complete_rows_are_rewritten() -> None:
    transform, _ = build(OptimizePair(), capitalise)
    out = transform(make_table())
    assert out.table["question"].to_pylist()[:2] == ["How many legs has a spider?", "Which planet is the largest one?"]
    assert out.table["answer"].to_pylist()[:2] == ["A spider has eight legs.", "Jupiter."]
    assert out.table["origin"].to_pylist() == ["optimized", "optimized", "source", "source", "optimized"]
    assert out.counts == {"rewritten": 3}


def test_rows_with_a_missing_field_pass_untouched_and_are_not_asked_about() -> None:
    transform, completer = build(OptimizePair(), capitalise)
    table = make_table()
    out = transform(table)
    assert len(completer.requests) == 3
    assert out.table.slice(2, 2).to_pylist() == table.slice(2, 2).to_pylist()


def test_ids_order_and_extra_columns_stay() -> None:
    transform, _ = build(OptimizePair(), capitalise)
    table = make_table()
    out = transform(table)
    assert out.table.schema.equals(table.schema)
    assert out.table.select(["id", "history", "level"]).equals(table.select(["id", "history", "level"]))


@pytest.mark.parametrize(
    ("operator", "kept", "rewritten"),
    [(OptimizeQuestion(), "answer", "question"), (OptimizeAnswer(), "question", "answer")],
)
def test_one_field_is_rewritten_while_the_other_stays(
    operator: OptimizeQuestion | OptimizeAnswer, kept: str, rewritten: str
) -> None:
    transform, completer = build(
        operator, lambda request: json.dumps({rewritten: json.loads(capitalise(request))[rewritten]})
    )
    table = make_table()
    out = transform(table)
    assert out.table[kept].equals(table[kept])
    assert not out.table[rewritten].equals(table[rewritten])
    schemas = {request.json_schema for request in completer.requests}
    assert [json.loads(schema or "")["required"] for schema in schemas] == [[rewritten]]


def test_a_plain_reply_is_taken_where_one_field_is_asked_for() -> None:
    transform, _ = build(OptimizeAnswer(), lambda request: "Spiders have eight legs.")
    out = transform(make_table(ROWS[:1]))
    assert out.table["answer"].to_pylist() == ["Spiders have eight legs."]


def test_sloppy_json_is_read() -> None:
    transform, _ = build(OptimizePair(), lambda request: f"Here:\n```json\n{capitalise(request)[:-1]}\n```")
    assert transform(make_table()).counts == {"rewritten": 3}


def test_a_reply_that_changes_nothing_is_counted_as_unchanged() -> None:
    transform, _ = build(OptimizePair(), lambda request: request.messages[-1][1])
    table = make_table()
    out = transform(table)
    assert out.counts == {"unchanged": 3}
    assert out.table.equals(table)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Completion(text=pair_json("How many legs has a spider?", "Eight"), finish_reason="length"), "truncated"),
        ("no json here", "unreadable"),
        (pair_json("How many legs has a spider?", ""), "empty"),
        (pair_json("...", "..."), "empty"),
        (pair_json("How many legs has a spider?", "I'm sorry, but I can't help."), "refused"),
        (pair_json("How many legs has a spider?", "Your answer is: eight legs."), "label_leak"),
        (pair_json("Rewritten question: how many legs has a spider", "A spider has eight legs."), "label_leak"),
        (pair_json("How many legs has a spider?", "How many legs has a spider?"), "copied"),
        (pair_json("a spider has eight legs", "a spider has eight legs"), "copied"),
        (pair_json("How many legs has a spider? A spider has eight legs.", "A spider has eight legs."), "answered"),
        (pair_json("How many legs has a spider?", "a spider has eight legs " * 5), "repetitive"),
        (pair_json("How many legs has a spider?", "蜘蛛有八条腿，昆虫有六条腿。"), "wrong_language"),
        (pair_json("How many legs has a spider?", "Purple dragons adore cinnamon buns."), "off_topic"),
        (
            pair_json(
                "How many legs has a spider?",
                "A spider has eight legs because its body plan, unlike that of insects or crustaceans, keeps four "
                "pairs of walking limbs, all attached to one segment.",
            ),
            "too_long",
        ),
    ],
)
def test_a_faulty_reply_is_rejected_by_name_and_the_original_stays(reply: Completion | str, reason: str) -> None:
    transform, _ = build(OptimizePair(), lambda request: reply)
    table = make_table(ROWS[:1])
    out = transform(table)
    assert out.counts == {f"rejected:{reason}": 1}
    assert out.table.equals(table)


def test_a_prompt_that_comes_back_is_an_echo() -> None:
    def reply(request: CompletionRequest) -> str:
        sentence = next(part for part in request.messages[0][1].split(". ") if part.startswith("Keep the meaning"))
        return pair_json("How many legs has a spider?", f"A spider has eight legs. {sentence}.")

    transform, _ = build(OptimizePair(), reply)
    assert transform(make_table(ROWS[:1])).counts == {"rejected:prompt_echo": 1}


@pytest.mark.parametrize("operator", [OptimizePair(), OptimizeQuestion(), OptimizeAnswer()])
def test_a_fault_of_the_endpoint_is_no_verdict(operator: OptimizePair | OptimizeQuestion | OptimizeAnswer) -> None:
    def fail(request: CompletionRequest) -> str:
        raise EndpointError("timed out")

    transform, _ = build(operator, fail)
    with pytest.raises(EndpointError):
        transform(make_table())


def test_limits_and_budget_come_from_the_spec() -> None:
    reply = pair_json("How many legs has a spider?", "A spider has eight legs, as do all of its kin.")
    strict = OptimizePair.model_validate({"limits": {"max_length_ratio": 1.5, "slack_words": 0}})
    transform, completer = build(strict, lambda request: reply)
    assert transform(make_table(ROWS[:1])).counts == {"rejected:too_long": 1}
    tight, tight_completer = build(OptimizePair(decoding=Decoding(max_tokens=7)), capitalise)
    tight(make_table(ROWS[:1]))
    assert tight_completer.requests[0].max_tokens == 7
    assert completer.requests[0].max_tokens > 7


def test_rows_over_the_input_limit_are_left_alone_and_counted() -> None:
    transform, completer = build(OptimizePair(max_input_chars=10), capitalise)
    assert transform(make_table()).counts == {"skipped:too_long": 3}
    assert completer.requests == []


def test_the_earlier_turns_are_context() -> None:
    table = make_table(ROWS[:1])
    history = pa.array(
        [[{"role": "user", "content": "Let us talk of arachnids."}]], RECORD_SCHEMA.field("history").type
    )
    transform, completer = build(OptimizePair(), capitalise)
    transform(table.set_column(1, RECORD_SCHEMA.field("history"), history))
    assert "Let us talk of arachnids." in completer.requests[0].messages[-1][1]


def test_a_chinese_row_is_asked_about_in_chinese() -> None:
    completer = FakeCompleter(lambda request: pair_json("蜘蛛有几条腿？", "蜘蛛有八条腿。"))
    transform = OptimizePair().build(Resources(completer=completer, language="zh", domain="medical"))
    out = transform(make_table((("a", "蜘蛛有几条腿", "有八条腿"),)))
    assert out.table["answer"].to_pylist() == ["蜘蛛有八条腿。"]
    assert "医疗" in completer.requests[0].messages[0][1]


def test_one_call_asks_for_a_whole_batch() -> None:
    calls: list[int] = []

    class Counting(FakeCompleter):
        def complete(self, requests: object) -> list[Completion]:
            replies = super().complete(requests)  # type: ignore[arg-type]
            calls.append(len(replies))
            return replies

    OptimizePair().build(Resources(completer=Counting(capitalise)))(make_table())
    assert calls == [3]


def test_seeds_follow_the_row_and_the_operator() -> None:
    def seeds(seed: int, table: pa.Table) -> list[int]:
        transform, completer = build(OptimizePair(seed=seed), capitalise)
        transform(table)
        return [request.seed for request in completer.requests]

    table = make_table()
    assert len(set(seeds(0, table))) == 3
    assert seeds(0, table.take([4, 1, 0])) == seeds(0, table)[::-1]
    assert not set(seeds(0, table)) & set(seeds(1, table))
    assert all(0 <= seed < 2**31 for seed in seeds(0, table))


@given(cuts=st.sets(st.integers(min_value=1, max_value=len(ROWS) - 1)))
def test_the_cut_into_batches_does_not_matter(cuts: set[int]) -> None:
    transform, _ = build(OptimizePair(), capitalise)
    table = make_table()
    edges = [0, *sorted(cuts), table.num_rows]
    parts = [transform(table.slice(low, high - low)) for low, high in pairwise(edges)]
    together = pa.concat_tables([part.table for part in parts])
    assert together.equals(transform(table).table)


@pytest.mark.parametrize("operator", [OptimizePair(), OptimizeQuestion(), OptimizeAnswer()])
def test_an_empty_batch_keeps_its_schema(operator: OptimizePair | OptimizeQuestion | OptimizeAnswer) -> None:
    transform, completer = build(operator, capitalise)
    table = make_table().slice(0, 0)
    assert transform(table).table.schema.equals(table.schema)
    assert completer.requests == []
