"""What every operator in the registry keeps to."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from operators.contract.counts import Transformed
from operators.contract.operator import Operator, Scope
from operators.registry import CLEANING_RECIPE, AnyOperator
from operators.rows.conversation import extra_text
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS

GOLDEN = Path(__file__).with_name("golden_fingerprints.json")
CLASSES: tuple[type[Operator], ...] = get_args(get_args(AnyOperator)[0])
SPECS = [pytest.param(cls(), id=cls.model_fields["name"].default) for cls in CLASSES]
SCHEMA = RECORD_SCHEMA.append(pa.field("score", pa.int64())).append(pa.field("tags", pa.list_(pa.string())))
SCHEMA_WITH_KEYS = SCHEMA.set(1, pa.field("history", pa.list_(TURN_WITH_KEYS)))

TEXTS = st.none() | st.sampled_from(
    [
        "What helps against a headache?",
        "<p>Rest &amp; water.</p>",
        "<br>",
        "",
        "头痛头痛头痛",
        "no no no no no no no no no no",
        "%$#@%$#@%$#@!!!!!",
        "See https://x.org now",
        "Rest, drink water and sleep for eight hours every night.",
        "rest, drink water and sleep for eight hours every night!",
    ]
)
CALL = {"tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": '{"city": "<b>Paris</b>"}'}}]}
TURNS = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXTS})
TURNS_WITH_KEYS = st.sampled_from(
    [
        {"role": role, "content": content, "extra": extra_text(extra)}
        for role, content, extra in [
            ("system", "Call <tools> & answer. Call <tools> & answer. Call <tools> & answer.", {}),
            ("user", None, {"images": ["a.png"]}),
            ("assistant", "", CALL),
            ("assistant", None, CALL),
            ("assistant", None, {"reasoning_content": "&lt;Hm&gt; &lt;Hm&gt; &lt;Hm&gt;"}),
            ("tool", '{"sky": "%$#@%$#@%$#@!!!!!", "see": "https://x.org"}', {"tool_call_id": "c1"}),
        ]
    ]
)


def _rows_with(turns: st.SearchStrategy[dict[str, str | None]], *, most: int) -> st.SearchStrategy[list[object]]:
    row = {
        "history": st.none() | st.lists(turns, max_size=most),
        "question": TEXTS,
        "answer": TEXTS,
        "origin": st.just("source"),
        "score": st.none() | st.integers(0, 9),
        "tags": st.none() | st.lists(st.sampled_from(["a", "b"]), max_size=2),
    }
    return st.lists(st.fixed_dictionaries(row), min_size=1, max_size=8)


ROWS = _rows_with(TURNS, most=2) | _rows_with(TURNS_WITH_KEYS, most=4)
"""Rows of plain conversations, or of conversations whose turns have further keys."""
quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _table(rows: list[dict[str, object]]) -> pa.Table:
    keyed = any("extra" in turn for row in rows for turn in row.get("history") or ())
    schema = SCHEMA_WITH_KEYS if keyed else SCHEMA
    return pa.Table.from_pylist([{"id": f"r{number}", **row} for number, row in enumerate(rows)], schema=schema)


def _total_counts(batches: list[Transformed]) -> Counter[str]:
    return sum((Counter(batch.counts) for batch in batches), Counter())


def _rows(batches: list[Transformed]) -> list[dict[str, object]]:
    return [row for batch in batches for row in batch.table.to_pylist()]


@pytest.mark.parametrize("spec", SPECS)
@quickly
@given(rows=ROWS, data=st.data())
def test_batch_boundaries_change_nothing(run_operator, spec: Operator, rows, data) -> None:
    table = _table(rows)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3))), len(rows)]
    batches = [table.slice(low, high - low) for low, high in pairwise(cuts)]
    whole, parts = run_operator(spec, [table]), run_operator(spec, batches)
    assert _rows(parts) == _rows(whole)
    assert _total_counts(parts) == _total_counts(whole)


@pytest.mark.parametrize("spec", SPECS)
@quickly
@given(rows=ROWS)
def test_only_the_declared_columns_change_and_every_drop_is_counted(run_operator, spec: Operator, rows) -> None:
    table = _table(rows)
    before = {row["id"]: row for row in table.to_pylist()}
    result = run_operator(spec, [table])
    assert all(batch.table.schema.equals(table.schema, check_metadata=True) for batch in result)
    kept = [row for row in _rows(result) if row["id"] in before]
    assert [row["id"] for row in kept] == [name for name in before if name in {row["id"] for row in kept}]
    for row in kept:
        assert {name for name in row if row[name] != before[row["id"]][name]} <= set(spec.writes)
    dropped = sum(count for reason, count in _total_counts(result).items() if reason.startswith("dropped:"))
    assert dropped == len(before) - len(kept)


@pytest.mark.parametrize("spec", SPECS)
@quickly
@given(rows=ROWS)
def test_the_same_spec_gives_the_same_output_and_leaves_its_input_alone(run_operator, spec: Operator, rows) -> None:
    table = _table(rows)
    twin = type(spec).model_validate_json(spec.model_dump_json())
    first = run_operator(spec, [table])
    assert run_operator(twin, [table]) == first
    assert _total_counts(run_operator(twin, [table])) == _total_counts(first)
    assert table.equals(_table(rows), check_metadata=True)


@pytest.mark.parametrize("schema", [SCHEMA, SCHEMA_WITH_KEYS], ids=["plain", "with_keys"])
@pytest.mark.parametrize("spec", SPECS)
def test_an_empty_batch_keeps_the_schema(run_operator, spec: Operator, schema: pa.Schema) -> None:
    for result in run_operator(spec, [schema.empty_table()]):
        assert result.table.schema.equals(schema, check_metadata=True)
        assert result.table.num_rows == 0


@pytest.mark.parametrize("spec", CLEANING_RECIPE, ids=lambda spec: spec.name)
def test_cleaning_keeps_an_answer_that_calls_a_tool_and_its_turns_as_they_are(run_operator, spec: Operator) -> None:
    turns = [
        {"role": "user", "content": None, "extra": None},
        {"role": "assistant", "content": "", "extra": extra_text(CALL)},
        {"role": "tool", "content": "no no no no no no no no %$#@%$#@%$#@", "extra": None},
        {"role": "assistant", "content": None, "extra": extra_text(CALL)},
    ]
    table = _table([{"history": turns, "question": "Hi?", "answer": None, "origin": "source"}])
    strict = spec.model_copy(update={"min_tokens": 5} if spec.name == "token_count" else {})
    assert _rows(run_operator(strict, [table])) == table.to_pylist()


@pytest.mark.parametrize("spec", SPECS)
def test_many_chunks_are_one_table(run_operator, spec: Operator) -> None:
    rows = [{"history": [{"role": "user", "content": "<b>hi</b>"}], "question": "a b &amp; c", "answer": None}] * 3
    whole = _table(rows)
    chunked = pa.concat_tables([whole.slice(number, 1) for number in range(3)])
    assert _rows(run_operator(spec, [chunked])) == _rows(run_operator(spec, [whole]))


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_survives_pickle_and_json(spec: Operator) -> None:
    union: TypeAdapter[Operator] = TypeAdapter(AnyOperator)
    for twin in (pickle.loads(pickle.dumps(spec)), union.validate_json(spec.model_dump_json())):
        assert twin == spec
        assert hash(twin) == hash(spec)
        assert type(twin) is type(spec)
        assert twin.fingerprint() == spec.fingerprint()


@pytest.mark.parametrize("spec", SPECS)
def test_every_parameter_is_part_of_the_fingerprint(spec: Operator) -> None:
    assert spec.model_copy(update={"seed": 1}).fingerprint() != spec.fingerprint()


@pytest.mark.parametrize("spec", SPECS)
def test_declared_columns_exist(spec: Operator) -> None:
    assert set(spec.reads) | set(spec.writes) <= set(RECORD_SCHEMA.names)
    assert spec.scope in Scope


@pytest.mark.parametrize("spec", SPECS)
def test_a_fingerprint_changes_only_with_a_new_version(spec: Operator) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden.get(spec.name) == {"version": spec.version, "fingerprint": spec.fingerprint()}, (
        f"{spec.name} has other defaults, prompts or parameters than {GOLDEN.name} says: raise its version if outputs "
        "change, then write the new values there"
    )


def test_the_golden_file_names_every_operator_once() -> None:
    names = [cls.model_fields["name"].default for cls in CLASSES]
    assert sorted(names) == sorted(set(names)) == sorted(json.loads(GOLDEN.read_text()))


def test_the_cleaning_recipe_runs_in_the_order_of_the_plan() -> None:
    assert [spec.name for spec in CLEANING_RECIPE] == [
        "strip_markup",
        "special_char_ratio",
        "token_count",
        "ngram_repetition",
        "deduplicate",
    ]


def test_with_a_screener_only_these_see_the_clean_rows() -> None:
    seeing_all = {cls.model_fields["name"].default for cls in CLASSES if not cls.is_targeted()}
    assert seeing_all == {"deduplicate", "generate_pair"}
