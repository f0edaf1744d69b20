"""`deduplicate` keeps one row per group of near-duplicates, the same one at any cut of the data."""

from __future__ import annotations

import random

import pyarrow as pa

from operators.contract.in_process import apply_to_parts
from operators.contract.resources import Resources
from operators.deduplicate import Deduplicate
from operators.rows.record import RECORD_SCHEMA
from tests.operators.row_tables import Records

LONG = (
    "Take one tablet in the morning with a glass of water and rest for at least two hours after the meal every day "
    "until the fever is gone"
)


def _survivors(batches: list[pa.Table]) -> tuple[set[str], dict[str, int]]:
    kept = apply_to_parts(Deduplicate().build(Resources()), batches)
    counts: dict[str, int] = {}
    for batch in kept:
        for reason, count in batch.counts.items():
            counts[reason] = counts.get(reason, 0) + count
    return {row for batch in kept for row in batch.table["id"].to_pylist()}, counts


def test_the_longer_copy_survives_and_then_the_lower_id(records: Records) -> None:
    kept, counts = _survivors(
        [records([("q", LONG), ("q", LONG + " or so"), ("Q?", LONG), ("hi", "yo"), ("Hi", "yo!")])]
    )
    assert kept == {"r0001", "r0003"}
    assert counts == {"dropped:near_duplicate": 3}


def test_the_complete_row_survives_before_the_longer_one(records: Records) -> None:
    kept, _ = _survivors([records([(LONG + " or so", None), (LONG, "")])])
    assert kept == {"r0001"}


def test_a_row_that_lacks_a_field_goes_when_a_complete_row_has_its_other_field(records: Records) -> None:
    rows = [
        ("What helps?", "Rest."),
        ("what helps", None),
        (None, "Rest"),
        ("What else?", "Water, water."),
        ("Who?", None),
    ]
    kept, counts = _survivors([records(rows)])
    assert kept == {"r0000", "r0003", "r0004"}
    assert counts == {"dropped:incomplete_copy": 2}


def test_a_row_that_lacks_a_field_does_not_join_two_groups(records: Records) -> None:
    kept, _ = _survivors([records([("What helps?", "Rest."), ("What helps?", "Cold water."), ("What helps?", None)])])
    assert kept == {"r0000", "r0001"}


def test_the_same_last_pair_after_different_turns_is_no_copy() -> None:
    def row(name: str, said: str, answer: str | None = "You are welcome.") -> dict[str, object]:
        history = [{"role": "user", "content": said}]
        return {"id": name, "history": history, "question": "Thanks!", "answer": answer, "origin": "source"}

    rows = [row("a", "My head hurts"), row("b", "My foot hurts"), row("c", "my foot hurts!"), row("d", "Fever", None)]
    kept, _ = _survivors([pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)])
    assert kept == {"a", "b", "d"}


def test_rows_with_nothing_in_them_are_not_copies_of_each_other(records: Records) -> None:
    assert _survivors([records([(None, None), (None, None), ("", ""), ("", "")])])[0] == {f"r{n:04d}" for n in range(4)}


def test_the_survivors_do_not_depend_on_cut_or_order(records: Records) -> None:
    rnd = random.Random(5)
    pool = [(f"question {n} {LONG}", f"answer {n % 3}") for n in range(8)] + [
        ("short", None),
        ("short", "one"),
        (None, "one"),
    ]
    rows = records([rnd.choice(pool) for _ in range(60)])
    expected = _survivors([rows])
    for _ in range(5):
        shuffled = rows.take(rnd.sample(range(60), 60))
        cuts = sorted(rnd.sample(range(61), 4))
        batches = [shuffled.slice(low, high - low) for low, high in zip([0, *cuts], [*cuts, 60], strict=True)]
        assert _survivors(batches) == expected
