"""What is counted over parts of the rows adds up to one pass over all: forms, types, spellings, turns."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.records.forms.evidence import FormEvidence
from autodp_ray.records.json_scan import JsonScan
from autodp_ray.records.turns.turn_counts import TurnCounts

KEYS = ["question", "answer", "messages", "more"]
turns = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "role": st.sampled_from(["user", "assistant", "bot", "x", "function_call"]),
                "content": st.text(max_size=2),
            }
        ),
        st.fixed_dictionaries({"from": st.just("human"), "value": st.none() | st.integers()}),
        st.fixed_dictionaries({"role": st.just("tool"), "name": st.just("f"), "content": st.just("t")}),
        st.fixed_dictionaries({"role": st.just("user"), "name": st.just("f")}),
        st.just(["q", "a"]),
    ),
    max_size=3,
)
cells = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "无", "text", 1, 2**60, 0.5, True, [], {}, {"a": 1}, {"a": None}, {"a": 1, "b": 2}, [1], [None]]
    ),
    turns,
    turns.map(json.dumps),
)
rows = st.lists(st.dictionaries(st.sampled_from(KEYS), cells, max_size=4), max_size=12)


def seen(found: object) -> object:
    """All that counts hold, with the order of what has one."""
    if isinstance(found, FormEvidence | TurnCounts | JsonScan):
        fields = {name: seen(value) for name, value in vars(found).items() if name != "_max_distinct"}
        return {**fields, "order": list(getattr(found, "order", ()))}
    if isinstance(found, Counter):
        return [(key, num) for key, num in found.items() if num]
    return {key: seen(value) for key, value in found.items()} if isinstance(found, dict) else found


@given(rows=rows, cut=st.integers(0, 12), again=st.integers(0, 12), limit=st.sampled_from([2, 1000]))
def test_counts_of_parts_add_up_to_those_of_all_rows(
    rows: list[dict[str, object]], cut: int, again: int, limit: int
) -> None:
    whole, parts = (
        FormEvidence(candidates=frozenset(KEYS[:3]), nested=frozenset({"messages"}), roles={}, max_distinct=limit)
        for _ in range(2)
    )
    whole_scan, parts_scan = (JsonScan(nulls=("", "无"), untyped=frozenset({"messages"})) for _ in range(2))
    whole.add_rows(rows)
    whole_scan.add(rows)
    for part in (rows[:cut], rows[cut : cut + again], rows[cut + again :]):
        counts, scan = parts.of_a_part(), parts_scan.of_a_part()
        for half in (part[: len(part) // 2], part[len(part) // 2 :]):
            counts.add_rows(half)
            scan.add(half)
        parts.add_counts(counts)
        parts_scan.add_scan(scan)
    assert seen(parts) == seen(whole)
    assert seen(parts_scan) == seen(whole_scan)


plain_turn = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "bot", "x", "function_call"]),
        "content": st.sampled_from(["t", None]),
        "name": st.sampled_from([None, None, None, "f"]),
    }
)


@given(values=st.lists(st.none() | st.lists(plain_turn, max_size=3), max_size=8), cut=st.integers(0, 8))
def test_a_column_of_turns_counts_as_its_rows_do(values: list[Any], cut: int) -> None:
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("name", pa.string())]))
    by_rows, by_columns = TurnCounts({}), TurnCounts({})
    by_rows.add(values)
    for part in (values[:cut], values[cut:]):
        by_columns.add_column(pa.array(part, kind))
    assert seen(by_columns) == seen(by_rows)
