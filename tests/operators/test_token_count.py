"""`token_count` bounds the tokens of a whole row."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.contract.resources import Resources
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS
from operators.testing.fakes import FakeTokenizer
from operators.token_count import TokenCount


def test_question_answer_and_history_are_counted_together(fake_tokenizer: FakeTokenizer) -> None:
    rows = [
        {"id": name, "history": history, "question": question, "answer": answer, "origin": "source"}
        for name, history, question, answer in [
            ("short", [], "one", "two"),
            ("right", None, "one two", "three four"),
            (
                "long",
                [{"role": "user", "content": "one two three"}, {"role": "assistant", "content": None}],
                "four",
                "5 6",
            ),
            ("missing", [], "one", None),
            ("empty", None, None, None),
        ]
    ]
    batch = pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)
    kept = TokenCount(min_tokens=3, max_tokens=5).build(Resources(tokenizer=fake_tokenizer))(batch)
    assert kept.table["id"].to_pylist() == ["right", "missing", "empty"]
    assert kept.counts == {"dropped:token_count_above_max": 1, "dropped:token_count_below_min": 1}


def test_tool_calls_and_reasoning_count_and_a_call_is_no_short_answer(fake_tokenizer: FakeTokenizer) -> None:
    schema = RECORD_SCHEMA.set(1, pa.field("history", pa.list_(TURN_WITH_KEYS)))
    calls = '{"tool_calls": [{"function": {"arguments": "one two three four five six"}}]}'
    rows = [
        {
            "id": name,
            "history": [{"role": "assistant", "content": None, "extra": extra}],
            "question": "a b",
            "answer": answer,
        }
        for name, extra, answer in [
            ("call", calls, None),
            ("images", '{"images": ["one two three four five six seven eight nine ten eleven twelve"]}', "c"),
            ("reasoning", '{"reasoning_content": "one two three four five six seven eight nine ten eleven"}', "c"),
        ]
    ]
    batch = pa.Table.from_pylist([{**row, "origin": "source"} for row in rows], schema=schema)
    limited = TokenCount(max_tokens=12).build(Resources(tokenizer=fake_tokenizer))(batch)
    assert limited.table["id"].to_pylist() == ["call", "images"]
    assert TokenCount(min_tokens=4).build(Resources(tokenizer=fake_tokenizer))(batch).table["id"].to_pylist() == [
        "call",
        "reasoning",
    ]


def test_it_says_that_a_tokenizer_is_missing() -> None:
    with pytest.raises(ValueError, match=r"needs Resources\.tokenizer"):
        TokenCount().build(Resources())


def test_swapped_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_tokens 9 is above max_tokens 3"):
        TokenCount(min_tokens=9, max_tokens=3)


class ByteTokenizer(FakeTokenizer):
    """Counts words, of which a text has no more than bytes, and remembers what it was asked to count."""

    max_tokens_per_byte = 1

    def __init__(self) -> None:
        self.counted: list[str] = []

    def count(self, texts: Sequence[str]) -> list[int]:
        self.counted.extend(texts)
        return super().count(texts)


def pairs(rows: Sequence[tuple[str, str | None]]) -> pa.Table:
    filled: list[dict[str, object]] = [
        {"id": str(at), "history": [], "question": question, "answer": answer, "origin": "source"}
        for at, (question, answer) in enumerate(rows)
    ]
    return pa.Table.from_pylist(filled, schema=RECORD_SCHEMA)


WORDS = st.lists(st.sampled_from(["a", "bb", "çç"]), min_size=1, max_size=6).map(" ".join)


@given(rows=st.lists(st.tuples(WORDS, WORDS | st.none()), max_size=9), low=st.integers(0, 4), room=st.integers(0, 8))
def test_with_a_bound_for_each_byte_the_same_rows_are_kept(
    rows: list[tuple[str, str | None]], low: int, room: int
) -> None:
    spec = TokenCount(min_tokens=low, max_tokens=max(low + room, 1))
    kept = [spec.build(Resources(tokenizer=one))(pairs(rows)) for one in (FakeTokenizer(), ByteTokenizer())]
    assert kept[0].table.equals(kept[1].table)
    assert kept[0].counts == kept[1].counts


def test_rows_that_their_bytes_alone_decide_are_not_tokenized() -> None:
    tokenizer = ByteTokenizer()
    batch = pairs([("one", "two"), ("one two three", "four"), ("five", None)])
    kept = TokenCount(max_tokens=10).build(Resources(tokenizer=tokenizer))(batch)
    assert kept.table.num_rows == 3
    assert tokenizer.counted == ["one two three", "four"]
