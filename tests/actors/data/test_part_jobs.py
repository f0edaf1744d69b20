"""What a worker makes of one part does not depend on how many rows it takes at a time."""

from __future__ import annotations

import tempfile
from typing import ClassVar, Literal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from actors.data.lent_operator import LentOperator
from actors.data.part_jobs import ApplyRows, PartWriter, Written
from actors.storage.storage import Storage
from operators.contract.counts import Transformed
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Resources
from operators.ngram_repetition import NgramRepetition
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup
from tests.operators.row_tables import pairs

TEXTS = st.sampled_from(
    ["plain words of a row", "<p>in <b>markup</b></p>", "$#%^ &*!", "over and over " * 30, "", "药"]
)
CLEANERS = (StripMarkup(), SpecialCharRatio(), NgramRepetition())


class CountsRows(RowOperator):
    """Counts how many rows it is given at a time."""

    name: Literal["counts_rows"] = "counts_rows"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()

    def build(self, resources: Resources) -> RowTransform:
        return lambda batch: Transformed(table=batch, counts={f"batch_of_{batch.num_rows}": 1})


def applied(table: pa.Table, *operators: RowOperator, rows_at_once: int) -> Written:
    lent = [LentOperator.of(operator, Resources()) for operator in operators]
    with tempfile.TemporaryDirectory() as folder:
        return ApplyRows(operators=lent, out=PartWriter(folder=Storage.at(folder)), rows_at_once=rows_at_once)(0, table)


@given(answers=st.lists(TEXTS, max_size=12), rows_at_once=st.integers(1, 12))
def test_rows_taken_in_pieces_become_the_same_file_and_counts(answers: list[str], rows_at_once: int) -> None:
    table = pairs(*[("a question", answer) for answer in answers])
    whole = applied(table, *CLEANERS, rows_at_once=len(answers) + 1)
    assert applied(table, *CLEANERS, rows_at_once=rows_at_once) == whole


def test_no_more_rows_are_taken_at_a_time_than_the_bound() -> None:
    table = pairs(*[("a question", "an answer")] * 7)
    assert applied(table, CountsRows(), rows_at_once=3).counts == {"batch_of_1": 1, "batch_of_3": 2}
