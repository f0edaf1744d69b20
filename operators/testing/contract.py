"""What every operator keeps to, as a pytest class: `class TestMine(OperatorContract): operator = Mine()`.

A subclass may lend other resources or draw other rows. Needs pytest and hypothesis; runs without Ray.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, cast

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from operators.contract.counts import Transformed
from operators.contract.in_process import apply_to_parts
from operators.contract.operator import DatasetOperator, Operator, PartitionedOperator, RowOperator, Scope
from operators.contract.resources import Resources
from operators.registry import AnyOperator
from operators.rows.conversation import extra_text
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS, lowest_hash_complete
from operators.testing.fakes import FakeCompleter, FakeScorer, FakeTokenizer

SCHEMA = RECORD_SCHEMA.append(pa.field("score", pa.int64())).append(pa.field("tags", pa.list_(pa.string())))
SCHEMA_WITH_KEYS = SCHEMA.set(1, pa.field("history", pa.list_(TURN_WITH_KEYS)))

RowValues = Mapping[str, object]
RowList = list[dict[str, object]]

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
TURNS: st.SearchStrategy[RowValues] = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": TEXTS}
)
_TURNS_WITH_KEYS: Sequence[tuple[str, str | None, RowValues]] = [
    ("system", "Call <tools> & answer. Call <tools> & answer. Call <tools> & answer.", {}),
    ("user", None, {"images": ["a.png"]}),
    ("assistant", "", CALL),
    ("assistant", None, CALL),
    ("assistant", None, {"reasoning_content": "&lt;Hm&gt; &lt;Hm&gt; &lt;Hm&gt;"}),
    ("tool", '{"sky": "%$#@%$#@%$#@!!!!!", "see": "https://x.org"}', {"tool_call_id": "c1"}),
]
TURNS_WITH_KEYS: st.SearchStrategy[RowValues] = st.sampled_from(
    [{"role": role, "content": content, "extra": extra_text(extra)} for role, content, extra in _TURNS_WITH_KEYS]
)


def rows_with(turns: st.SearchStrategy[RowValues], *, most: int) -> st.SearchStrategy[RowList]:
    """Rows of a dataset whose conversations have up to `most` such turns before the question."""
    row: dict[str, st.SearchStrategy[object]] = {
        "history": st.none() | st.lists(turns, max_size=most),
        "question": TEXTS,
        "answer": TEXTS,
        "origin": st.just("source"),
        "score": st.none() | st.integers(0, 9),
        "tags": st.none() | st.lists(st.sampled_from(["a", "b"]), max_size=2),
    }
    return st.lists(st.fixed_dictionaries(row), min_size=1, max_size=8)


ROWS = rows_with(TURNS, most=2) | rows_with(TURNS_WITH_KEYS, most=4)
"""Rows of plain conversations, or of conversations whose turns have further keys."""

quickly = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def table_of(rows: Sequence[RowValues]) -> pa.Table:
    """The rows under ids by their number; turns have further keys where one of the rows has them."""
    turns = [turn for row in rows for turn in cast(Sequence[RowValues], row.get("history") or ())]
    schema = SCHEMA_WITH_KEYS if any("extra" in turn for turn in turns) else SCHEMA
    return pa.Table.from_pylist([{"id": f"r{number}", **row} for number, row in enumerate(rows)], schema=schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an operator made of the batches of one dataset."""

    batches: tuple[pa.Table, ...]
    """One for each batch, and last the rows that it adds."""
    counts: Counter[str]

    @property
    def rows(self) -> RowList:
        return [row for batch in self.batches for row in batch.to_pylist()]


def run_batches(operator: Operator, batches: Sequence[pa.Table], *, resources: Resources) -> Outcome:
    """Build the operator once and run it over the batches of one dataset, as workers do."""
    if isinstance(operator, RowOperator):
        transform = operator.build(resources)
        return _outcome([transform(batch) for batch in batches])
    if isinstance(operator, PartitionedOperator):
        return _outcome(apply_to_parts(operator.build(resources), batches))
    assert isinstance(operator, DatasetOperator), "derive it from RowOperator, DatasetOperator or PartitionedOperator"
    parts = operator.build(resources)
    decision = parts.decide([parts.sketch(batch) for batch in batches])
    outcome = _outcome([parts.apply(batch, decision) for batch in batches])
    appended = () if decision.appended is None else (decision.appended,)
    return Outcome(batches=(*outcome.batches, *appended), counts=outcome.counts + Counter(decision.counts))


def _outcome(results: Sequence[Transformed]) -> Outcome:
    """The tables and the sum of their counts."""
    tables = tuple(result.table for result in results)
    return Outcome(batches=tables, counts=sum((Counter(result.counts) for result in results), Counter()))


class OperatorContract:
    """Subclass it with an `operator`; pytest then runs the contract on it."""

    operator: ClassVar[Operator]

    def resources(self) -> Resources:
        """What a worker lends; few-shot rows are added. The stand-in chat model repeats what it was asked."""
        completer = FakeCompleter(lambda request: request.messages[-1][1])
        return Resources(tokenizer=FakeTokenizer(), completer=completer, influence=FakeScorer())

    def rows(self) -> st.SearchStrategy[RowList]:
        """The rows of the datasets that it is tried on."""
        return ROWS

    def run(self, operator: Operator, batches: Sequence[pa.Table]) -> Outcome:
        """The operator's outcome over the batches of one dataset."""
        lent = self.resources()
        shots = lowest_hash_complete(pa.concat_tables(batches), seed=operator.seed, k=operator.needs.shots)
        resources = Resources(
            completer=lent.completer,
            embedder=lent.embedder,
            tokenizer=lent.tokenizer,
            influence=lent.influence,
            shots=shots,
        )
        return run_batches(operator, batches, resources=resources)

    @quickly
    @given(data=st.data())
    def test_batch_boundaries_change_nothing(self, data: st.DataObject) -> None:
        table = table_of(data.draw(self.rows()))
        cuts = data.draw(st.lists(st.integers(0, table.num_rows), max_size=3))
        parts = [table.slice(low, high - low) for low, high in pairwise([0, *sorted(cuts), table.num_rows])]
        whole, cut = self.run(self.operator, [table]), self.run(self.operator, parts)
        assert cut.rows == whole.rows
        assert cut.counts == whole.counts

    @quickly
    @given(data=st.data())
    def test_only_the_declared_columns_change_and_every_drop_is_counted(self, data: st.DataObject) -> None:
        table = table_of(data.draw(self.rows()))
        before = {row["id"]: row for row in table.to_pylist()}
        outcome = self.run(self.operator, [table])
        assert all(batch.schema == table.schema for batch in outcome.batches)
        kept = {row["id"]: row for row in outcome.rows if row["id"] in before}
        assert list(kept) == [name for name in before if name in kept], "rows keep their order"
        for name, row in kept.items():
            assert {column for column in row if row[column] != before[name][column]} <= set(self.operator.writes)
        dropped = sum(count for reason, count in outcome.counts.items() if reason.startswith("dropped:"))
        assert dropped == len(before) - len(kept), "count each dropped row under a reason: see keep_rows"

    @quickly
    @given(data=st.data())
    def test_the_same_spec_gives_the_same_output_and_leaves_its_input_alone(self, data: st.DataObject) -> None:
        rows = data.draw(self.rows())
        table = table_of(rows)
        twin = type(self.operator).model_validate_json(self.operator.model_dump_json())
        first, second = self.run(self.operator, [table]), self.run(twin, [table])
        assert second == first
        assert table.equals(table_of(rows), check_metadata=True)

    @pytest.mark.parametrize("schema", [SCHEMA, SCHEMA_WITH_KEYS], ids=["plain", "with_keys"])
    def test_an_empty_batch_keeps_the_schema(self, schema: pa.Schema) -> None:
        for result in self.run(self.operator, [schema.empty_table()]).batches:
            assert result.schema.equals(schema, check_metadata=True)
            assert result.num_rows == 0

    def test_many_chunks_are_one_table(self) -> None:
        turn = {"role": "user", "content": "<b>hi</b>"}
        whole = table_of([{"history": [turn], "question": "a b &amp; c", "answer": None}] * 3)
        chunked = pa.concat_tables([whole.slice(number, 1) for number in range(3)])
        assert self.run(self.operator, [chunked]).rows == self.run(self.operator, [whole]).rows

    def test_a_spec_survives_pickle_and_json_and_the_config(self) -> None:
        spec, union = self.operator, TypeAdapter[Operator](AnyOperator)
        twins = [
            pickle.loads(pickle.dumps(spec)),
            type(spec).model_validate_json(spec.model_dump_json()),
            union.validate_json(union.dump_json(spec)),
        ]
        for twin in twins:
            assert twin == spec
            assert hash(twin) == hash(spec)
            assert type(twin) is type(spec)
            assert twin.fingerprint() == spec.fingerprint()

    def test_every_parameter_is_part_of_the_fingerprint(self) -> None:
        assert self.operator.model_copy(update={"seed": self.operator.seed + 1}).fingerprint() != (
            self.operator.fingerprint()
        )

    def test_it_declares_what_it_reads_and_writes_and_its_scope(self) -> None:
        spec = self.operator
        assert all(isinstance(column, str) for column in (*spec.reads, *spec.writes))
        assert spec.scope in Scope
        assert spec.version >= 1

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_it_says_in_one_line_what_it_does(self, language: str) -> None:
        said = self.operator.summary("zh" if language == "zh" else "en")
        assert said.isprintable()
        assert 0 < len(said) <= 400
        assert said[-1] not in ".。", "clauses are joined to one sentence"
