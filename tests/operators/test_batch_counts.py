"""What operators report with a batch: counts by reason, kept rows, and the spec they are made from."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.contract.counts import Transformed, keep_rows
from operators.contract.operator import Needs, RowOperator
from operators.contract.resources import Resources

REASONS = st.dictionaries(st.sampled_from(["dropped:short", "rejected:empty", "filled"]), st.integers(0, 9))


class Cut(RowOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ("answer",)
    writes: ClassVar[tuple[str, ...]] = ("answer",)
    name: Literal["cut"] = "cut"
    length: int = 3
    prompt: str = ""

    def prompt_texts(self) -> tuple[str, ...]:
        return (self.prompt,) if self.prompt else ()


class NewerCut(Cut):
    version: ClassVar[int] = 2


@given(REASONS, REASONS)
def test_counts_add_up_and_zeros_are_left_out(first: dict[str, int], second: dict[str, int]) -> None:
    done = Transformed(table=pa.table({"a": [1]}), counts=Counter(first) + Counter(second))
    sums = {name: first.get(name, 0) + second.get(name, 0) for name in first | second}
    assert done.counts == {name: count for name, count in sums.items() if count}
    assert Transformed(table=done.table, counts=sums) == done


def test_a_batch_that_nothing_happened_to_has_no_counts() -> None:
    table = pa.table({"a": [1, 2]})
    assert Transformed(table=table).table is table
    assert Transformed(table=table).counts == {}


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12))
def test_a_dropped_row_is_counted_once_under_the_first_reason(marks: list[tuple[bool, bool]]) -> None:
    table = pa.table({"at": pa.array(range(len(marks)), pa.int64())})
    long, rude = (np.array([mark[side] for mark in marks], dtype=bool) for side in (0, 1))
    kept = keep_rows(table, {"long": long, "rude": rude})
    assert kept.table["at"].to_pylist() == [at for at, mark in enumerate(marks) if not any(mark)]
    counts = kept.counts
    assert counts.get("dropped:long", 0) == sum(mark[0] for mark in marks)
    assert sum(counts.values()) == table.num_rows - kept.table.num_rows


def test_a_fingerprint_changes_with_every_parameter_prompt_and_version_and_with_nothing_else() -> None:
    specs = [Cut(), Cut(length=4), Cut(seed=1), Cut(prompt="shorten"), NewerCut()]
    prints = [spec.fingerprint() for spec in specs]
    assert len(set(prints)) == len(specs)
    assert Cut().fingerprint() == Cut(length=3, seed=0).fingerprint() == prints[0]


def test_a_spec_is_frozen_hashable_and_knows_its_keys() -> None:
    assert len({Cut(), Cut(), Cut(length=4)}) == 2
    with pytest.raises(ValidationError, match="frozen"):
        Cut().length = 5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="lenght"):
        Cut.model_validate({"lenght": 5})


def test_an_operator_that_does_not_say_how_it_is_built_says_so() -> None:
    with pytest.raises(TypeError, match="Cut does not say how it is built"):
        Cut().build(Resources())
