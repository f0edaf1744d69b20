"""What operator tests share: fakes of the models, tables of records, and one way to run any operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

from operators.contract.counts import Transformed
from operators.contract.in_process import apply_to_parts
from operators.contract.operator import DatasetOperator, Operator, PartitionedOperator, RowOperator
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.rows.record import RECORD_SCHEMA, lowest_hash_complete
from operators.testing.fakes import FakeCompleter, FakeScorer, FakeTokenizer
from tests.operators.row_tables import Pair, Records, RunOperator


@pytest.fixture
def fake_tokenizer() -> FakeTokenizer:
    return FakeTokenizer()


@pytest.fixture
def fake_completer() -> Callable[[Callable[[CompletionRequest], Completion | str]], FakeCompleter]:
    """Makes a completer that replies by a function."""
    return FakeCompleter


@pytest.fixture
def records() -> Records:
    """Makes a table of records without history from (question, answer) pairs; ids follow the row number."""

    def make(rows: Sequence[Pair]) -> pa.Table:
        return pa.Table.from_pylist(
            [
                {"id": f"r{number:04d}", "history": [], "question": question, "answer": answer, "origin": "source"}
                for number, (question, answer) in enumerate(rows)
            ],
            schema=RECORD_SCHEMA,
        )

    return make


@pytest.fixture
def run_operator() -> RunOperator:
    """Runs a spec over the batches of one dataset and returns the batches that come out, appended rows last."""

    def run(spec: Operator, batches: Sequence[pa.Table]) -> list[Transformed]:
        shots = lowest_hash_complete(pa.concat_tables(batches), seed=spec.seed, k=spec.needs.shots)
        completer = FakeCompleter(lambda request: request.messages[-1][1])
        resources = Resources(tokenizer=FakeTokenizer(), completer=completer, influence=FakeScorer(), shots=shots)
        if isinstance(spec, RowOperator):
            work = spec.build(resources)
            return [work(batch) for batch in batches]
        if isinstance(spec, PartitionedOperator):
            return apply_to_parts(spec.build(resources), batches)
        assert isinstance(spec, DatasetOperator)
        transform = spec.build(resources)
        decision = transform.decide([transform.sketch(batch) for batch in batches])
        appended = [] if decision.appended is None else [Transformed(table=decision.appended)]
        return [transform.apply(batch, decision) for batch in batches] + appended

    return run
