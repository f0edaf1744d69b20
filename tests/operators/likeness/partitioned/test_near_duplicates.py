"""Decided by steps of an exchange, the rows that go are those of one decision over all rows together."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.contract.exchange import Inbox, PartitionedTransform, Step
from operators.contract.in_process import InProcessExchange
from operators.deduplicate import Deduplication
from operators.likeness.partitioned.cluster_steps import best_rows, components
from operators.likeness.partitioned.near_duplicates import NearDuplicates
from operators.likeness.partitioned.part_sketches import PartNote
from operators.likeness.row_likeness import SaidKeys, group_rows, lacks_what_another_has
from operators.likeness.row_sketches import sketch_rows
from operators.rows.record import is_complete
from tests.operators.likeness.partitioned.near_copies import Row, dataset, edited, template
from tests.operators.row_tables import sentence, table_of, words

NAMES = ("near_duplicate", "incomplete_copy")
ONE_PARTITION, MANY = 1 << 30, 1 << 13


@dataclass(frozen=True, kw_only=True)
class WatchedExchange(InProcessExchange):
    """Knows what was read of it."""

    read: dict[str, list[int]] = field(default_factory=dict)
    """Bytes that each task of each step read."""

    def run(self, step: Step, *, num_tasks: int, task_bytes: int) -> list[object]:
        inboxes = [self.inbox(number, step.reads) for number in range(num_tasks)]
        found = [_num_bytes(inbox, step.reads) for inbox in inboxes]
        self.read.setdefault(type(step).__name__, []).extend(found)
        return super().run(step, num_tasks=num_tasks, task_bytes=task_bytes)


def _num_bytes(inbox: Inbox, channels: Sequence[str]) -> int:
    return sum(table.nbytes for channel in channels for table in inbox.tables(channel))


def _decision(table: pa.Table, cuts: Sequence[int], found: NearDuplicates) -> list[list[str]]:
    """The ids of the rows that go, by reason."""
    parts = [table.slice(low, high - low) for low, high in pairwise([0, *sorted(cuts), table.num_rows])]
    transform = Deduplication(found=found, content_columns="auto")
    exchange = _exchanged(transform, parts)
    gone: list[list[str]] = [[], []]
    for number, part in enumerate(parts):
        inbox = exchange.inbox(number, transform.decision)
        for ids, channel in zip(gone, transform.decision, strict=True):
            for told in inbox.tables(channel):
                ids += part["id"].take(told["place"]).to_pylist()
    kept = [transform.apply(part, exchange.inbox(at, transform.decision)).table for at, part in enumerate(parts)]
    assert pa.concat_tables(kept)["id"].to_pylist() == [
        name for name in table["id"].to_pylist() if name not in {*gone[0], *gone[1]}
    ]
    return [sorted(gone[0]), sorted(set(gone[1]) - set(gone[0]))]


def _exchanged(transform: PartitionedTransform, parts: Sequence[pa.Table]) -> WatchedExchange:
    exchange = WatchedExchange()
    notes = [exchange.send(transform.sketch(number, part)) for number, part in enumerate(parts)]
    transform.decide(notes, exchange)
    return exchange


def _labels(table: pa.Table, cuts: Sequence[int], found: NearDuplicates) -> list[int]:
    """The group of every row, found part by part."""
    exchange, transform = WatchedExchange(), Deduplication(found=found, content_columns="auto")
    parts = [table.slice(low, high - low) for low, high in pairwise([0, *sorted(cuts), table.num_rows])]
    notes = [exchange.send(transform.sketch(number, part)) for number, part in enumerate(parts)]
    labels: list[int] = found.groups([note for note in notes if isinstance(note, PartNote)], exchange).tolist()
    return labels


def _reference(table: pa.Table, found: NearDuplicates) -> list[list[str]]:
    """The same, decided over all sketches at once."""
    rows = sketch_rows(table, num_perm=found.num_perm, seed=found.seed)
    complete = is_complete(table).to_numpy(zero_copy_only=False)
    labels = group_rows(rows, found.threshold, seed=found.seed)
    known = np.zeros(len(rows), dtype=bool)
    survivors = best_rows(labels, known=known, complete=complete, lengths=rows.lengths, ids=table["id"])
    redundant = survivors & lacks_what_another_has(SaidKeys.of(rows), of=complete, rows_in_question=~complete)
    return [sorted(table["id"].filter(pa.array(mask)).to_pylist()) for mask in (~survivors, redundant)]


def _found(partition_bytes: int, *, threshold: float = 0.8, seed: int = 0) -> NearDuplicates:
    return NearDuplicates(threshold=threshold, num_perm=128, seed=seed, partition_bytes=partition_bytes)


@pytest.mark.heavy
@given(
    seed=st.integers(0, 10**6),
    num_cuts=st.sampled_from([0, 1, 4]),
    partition_bytes=st.sampled_from([ONE_PARTITION, 1 << 15, MANY, 1 << 10]),
    threshold=st.sampled_from([0.6, 0.8, 0.95]),
)
def test_the_decision_is_that_of_all_rows_together(
    seed: int, num_cuts: int, partition_bytes: int, threshold: float
) -> None:
    rng = random.Random(seed)
    table = dataset(rng)
    cuts = rng.choices(range(table.num_rows + 1), k=num_cuts)
    found = _found(partition_bytes, threshold=threshold, seed=seed % 2)
    assert _decision(table, cuts, found) == _reference(table, found)
    rows = sketch_rows(table, num_perm=found.num_perm, seed=found.seed)
    assert _labels(table, cuts, found) == group_rows(rows, found.threshold, seed=found.seed).tolist()


@pytest.mark.heavy
@pytest.mark.parametrize("partition_bytes", [ONE_PARTITION, MANY])
def test_crowds_are_decided_as_together(partition_bytes: int) -> None:
    """Edited copies and rows under one instruction, so many that they fill large buckets."""
    rng = random.Random(3)
    row: Row = {"question": "What now?", "answer": " ".join(words(rng, 80))}
    rows: list[Row] = [{**row, "answer": edited(str(row["answer"]), rng)} for _ in range(100)]
    rows += template(rng, 80) + template(rng, 80)
    rows += [{**one, "question": f"{one['question']} {at // 2}"} for at, one in enumerate(rows[:40])]
    rng.shuffle(rows)
    table, found = table_of(rows), _found(partition_bytes)
    expected = _reference(table, found)
    assert len(expected[0]) > 80
    assert _decision(table, rng.choices(range(table.num_rows), k=3), found) == expected
    exchange = _exchanged(Deduplication(found=found, content_columns="auto"), [table])
    assert "SendTokens" in exchange.read


@pytest.mark.heavy
@given(seed=st.integers(0, 10**6))
def test_an_order_of_rows_changes_no_survivor(seed: int) -> None:
    rng = random.Random(seed)
    table = dataset(rng)
    found = _found(MANY)
    moved = table.take(rng.sample(range(table.num_rows), table.num_rows))
    cuts = rng.choices(range(table.num_rows), k=3)
    assert _decision(moved, cuts, found) == _decision(table, [], found)


def test_empty_parts_and_an_empty_dataset_are_decided() -> None:
    table = table_of([{"question": "a", "answer": "b"}] * 2)
    assert _decision(table, [0, 0, 1, 2], _found(MANY)) == [["r00001"], []]
    assert _decision(table.slice(0, 0), [0], _found(MANY)) == [[], []]


def test_no_task_reads_the_sketches_of_all_rows() -> None:
    rng = random.Random(5)
    rows: list[Row] = []
    for _ in range(800):
        row: Row = {"question": sentence(rng, 8), "answer": " ".join(words(rng, 60))}
        rows += [row, {**row, "answer": f"{row['answer']} Bye."}][: rng.choice([1, 1, 2])]
    table = table_of(rows)
    transform = Deduplication(found=_found(1 << 17), content_columns="auto")
    parts = [table.slice(start, 100) for start in range(0, table.num_rows, 100)]
    kept = _exchanged(transform, parts).read
    whole = WatchedExchange()
    note = whole.send(transform.sketch(0, table))
    sketches = _num_bytes(whole.inbox(0, ["heads", "signatures", "sets"]), ["heads", "signatures", "sets"])
    assert note is not None
    assert max(max(read) for read in kept.values()) < sketches / 5
    assert max(kept["PackClusters"]) < 40 * table.num_rows


@pytest.mark.heavy
@pytest.mark.parametrize("kept", ["question", "answer"])
def test_rows_that_share_long_text_cost_about_as_much_as_others_each(kept: str) -> None:
    def seconds(count: int) -> float:
        rng = random.Random(6)
        shared = " ".join(words(rng, 90))
        other = {"question": "answer", "answer": "question"}[kept]
        table = table_of([{kept: f"{shared}\n{' '.join(words(rng, 25))}", other: "Yes"} for _ in range(count)])
        transform = Deduplication(found=_found(1 << 19), content_columns="auto")
        exchange = InProcessExchange()
        notes = [exchange.send(transform.sketch(0, table))]
        started = time.process_time()
        transform.decide(notes, exchange)
        return time.process_time() - started

    small, large = (min(seconds(count) for _ in range(2)) for count in (500, 4000))
    assert large < 2.5**3 * small


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_components_are_those_of_a_walk(pairs: Sequence[tuple[int, int]]) -> None:
    lowest = {row: row for pair in pairs for row in pair}
    for _ in lowest:
        for left, right in pairs:
            lowest[left] = lowest[right] = min(lowest[left], lowest[right])
    sides = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    rows, labels = components(sides[:, 0], sides[:, 1])
    assert dict(zip(rows.tolist(), labels.tolist(), strict=True)) == lowest
