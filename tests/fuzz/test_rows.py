"""Random rows through every operator and through the chat template: none crashes, and every row is accounted for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from actors.training.chat_rows import ChatEncoder
from operators.contract.counts import Transformed
from operators.contract.in_process import apply_to_parts
from operators.contract.operator import DatasetOperator, Operator, PartitionedOperator, RowOperator
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.registry import OWN_CLASSES
from operators.rows.conversation import extra_text
from operators.rows.record import RECORD_SCHEMA, TURN, TURN_WITH_KEYS, lowest_hash_complete
from operators.testing.fakes import FakeCompleter, FakeScorer, FakeTokenizer
from tests.corpora.garbage import any_loop, any_soup

SPECS: list[Operator] = [cls.model_validate({}) for cls in OWN_CLASSES]
MAX_ROWS = 6
CASES_PER_TABLE = 5
"""One table in so many cases: each is tried with every operator."""
ROLES = ("system", "user", "assistant", "tool", "developer", "")
WORDS = ("what", "is", "the", "usual", "dose", "of", "it", "for", "an", "adult")
QUOTES = "\"'`\\“”«»{}[]()<>"
SCRIPTS = (
    (0x20, 0x7E),
    (0xA0, 0x24F),
    (0x370, 0x52F),
    (0x590, 0x6FF),
    (0x900, 0xDFF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
)


def _any_character(rng: Random) -> str:
    point = rng.randrange(0x110000)
    return " " if 0xD800 <= point <= 0xDFFF else chr(point)


def _drawn(rng: Random, draw: Callable[[], str], most: int) -> str:
    return "".join(draw() for _ in range(rng.randint(0, most)))


def _of_script(rng: Random) -> str:
    low, high = rng.choice(SCRIPTS)
    return _drawn(rng, lambda: " " if rng.random() < 0.2 else chr(rng.randint(low, high)), 80)


def _nested(rng: Random) -> str:
    value: object = _drawn(rng, lambda: rng.choice(QUOTES), 6)
    for _ in range(rng.randint(1, 6)):
        value = rng.choice([json.dumps(value), [value], {"k": value}])
    return json.dumps(value, ensure_ascii=False)


def _markup(rng: Random) -> str:
    pieces = (
        "<b>",
        "</b>",
        "<p",
        ">",
        "<!--",
        "-->",
        "&amp;",
        "&#",
        ";",
        "<script>",
        "```",
        "<think>",
        "http://",
        "@",
        "a",
        " ",
        "\n",
    )
    return _drawn(rng, lambda: rng.choice(pieces), 30)


MAKERS: tuple[Callable[[Random], str | None], ...] = (
    lambda rng: None,
    lambda rng: rng.choice(("", " ", "\n\n", "\u200b", "\x00", "N/A")),
    lambda rng: _drawn(rng, lambda: _any_character(rng), 60),
    lambda rng: _drawn(rng, lambda: chr(rng.choice((*range(32), *range(0x7F, 0xA0), 0x2028, 0x202E, 0xFEFF))), 20),
    _of_script,
    _of_script,
    _nested,
    _markup,
    lambda rng: rng.choice(("a", "़", "頭", "ab", "\u0301", "🎉", "_", "1")) * rng.randint(1, 3000),
    any_soup,
    any_loop,
    lambda rng: " ".join(
        rng.choices(["what", "is", "the", "usual", "dose", "of", "it", "for", "an", "adult"], k=rng.randint(1, 40))
    ),
)


def _text(rng: Random) -> str | None:
    return rng.choice(MAKERS)(rng)


def _turn(rng: Random) -> dict[str, str | None]:
    extra: dict[str, object] = {}
    if rng.random() < 0.4:
        call = {"name": _text(rng), "arguments": _nested(rng)}
        extra = rng.choice(
            [{"tool_calls": [{"id": "c", "function": call}]}, {"reasoning_content": _text(rng)}, {"name": "x"}]
        )
    return {"role": rng.choice(ROLES), "content": _text(rng), "extra": extra_text(extra)}


def _table(rng: Random) -> pa.Table:
    """Rows of a plain dataset or of one with further keys, with two extra columns, in one chunk or several."""
    turn = rng.choice((TURN, TURN_WITH_KEYS))
    schema = RECORD_SCHEMA.set(1, pa.field("history", pa.list_(turn)))
    schema = schema.append(pa.field("score", pa.float64())).append(pa.field("tools", pa.string()))
    rows: list[dict[str, Any]] = [
        {
            "id": f"r{at}",
            "history": rng.choice((None, [_turn(rng) for _ in range(rng.randint(0, 4))])),
            "question": _text(rng),
            "answer": _text(rng),
            "origin": "source",
            "score": rng.choice((None, float("nan"), 1.5)),
            "tools": rng.choice((None, "[]", _nested(rng))),
        }
        for at in range(rng.randint(1, MAX_ROWS))
    ]
    rows += [{**row, "id": f"copy of {row['id']}"} for row in rows if rng.random() < 0.2]
    names = [field.name for field in turn]
    for row in rows:
        row["history"] = row["history"] and [{name: one[name] for name in names} for one in row["history"]]
    cut = rng.randint(0, len(rows))
    return pa.concat_tables([pa.Table.from_pylist(part, schema=schema) for part in (rows[:cut], rows[cut:])])


def _run(spec: Operator, table: pa.Table, rng: Random) -> list[Transformed]:
    """The batches that come out, with a completer that replies anything at all."""

    def reply(request: CompletionRequest) -> Completion:
        text = rng.choice((_text(rng) or "", request.messages[-1][1], '{"question": "q", "answer": "a"}'))
        return Completion(text=text, finish_reason=rng.choice(("stop", "stop", "length")))

    shots = lowest_hash_complete(table, seed=spec.seed, k=spec.needs.shots)
    completer = FakeCompleter(reply)
    resources = Resources(tokenizer=FakeTokenizer(), completer=completer, influence=FakeScorer(), shots=shots)
    if isinstance(spec, RowOperator):
        return [spec.build(resources)(table)]
    cut = rng.randint(0, table.num_rows)
    batches = [table.slice(0, cut), table.slice(cut)]
    if isinstance(spec, PartitionedOperator):
        return apply_to_parts(spec.build(resources), batches)
    assert isinstance(spec, DatasetOperator)
    transform = spec.build(resources)
    decision = transform.decide([transform.sketch(batch) for batch in batches])
    return [transform.apply(batch, decision) for batch in batches]


def _same(left: object, right: object) -> bool:
    return repr(left) == repr(right)  # a NaN is like a NaN


def _assert_accounted(spec: Operator, table: pa.Table, batches: Sequence[Transformed]) -> None:
    before = {row["id"]: row for row in table.to_pylist()}
    kept = [row for batch in batches for row in batch.table.to_pylist() if row["id"] in before]
    counts = sum((Counter(batch.counts) for batch in batches), Counter())
    dropped = sum(count for reason, count in counts.items() if reason.startswith("dropped:"))
    assert len({row["id"] for row in kept}) == len(kept)
    assert len(kept) + dropped == len(before), dict(counts)
    assert all(batch.table.schema == table.schema for batch in batches)
    for row in kept:
        assert {name for name in row if not _same(row[name], before[row["id"]][name])} <= set(spec.writes)
        turns, old = row["history"] or [], before[row["id"]]["history"] or []
        assert [(one["role"], one.get("extra")) for one in turns] == [(one["role"], one.get("extra")) for one in old]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_any_row_passes_an_operator_or_is_counted_as_dropped(cases: list[Random], spec: Operator) -> None:
    for rng in cases[::CASES_PER_TABLE]:
        table = _table(rng)
        _assert_accounted(spec, table, _run(spec, table, rng))


def test_any_row_becomes_an_example_or_is_counted_as_left_out(cases: list[Random]) -> None:
    from tests.tiny_model import make_tiny_tokenizer  # torch: only for the tests that want it

    encoder = ChatEncoder(make_tiny_tokenizer(), max_length=256)
    for rng in cases[::CASES_PER_TABLE]:
        table = _table(rng)
        encoded = encoder.encode(table)
        assert len(encoded.examples) + sum(encoded.left_out.values()) == table.num_rows, encoded.left_out
        assert all(0 < len(example.tokens) <= 256 and example.num_answer > 0 for example in encoded.examples)
