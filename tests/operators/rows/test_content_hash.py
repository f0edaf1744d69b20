"""The content hash: blind to blocks and order, awake to every change of the rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from operators.rows.content_hash import ROWS_AT_ONCE, ContentHash, content_hash
from operators.rows.record import TURN

TEXTS = st.none() | st.text(alphabet=st.characters(codec="utf-8"), max_size=6)
TURNS = st.none() | st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS}), max_size=2)
ROWS = st.lists(st.tuples(TEXTS, TEXTS, TURNS, st.none() | st.integers(-5, 5)), min_size=1, max_size=6)
NAMES = ("question", "answer", "history", "score")
TYPES = (pa.string(), pa.string(), pa.list_(TURN), pa.int64())

Row = tuple[object, ...]
few = settings(max_examples=40)


def table_of(rows: list[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(NAMES)
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip(NAMES, columns, TYPES, strict=True)})


@few
@given(rows=ROWS, cut=st.integers(0, 6))
def test_cutting_a_dataset_into_blocks_leaves_its_hash(rows: list[Row], cut: int) -> None:
    table = table_of(rows)
    parts = [table.slice(0, cut), table.slice(cut)]
    whole = content_hash(table)
    assert sum((content_hash(part) for part in parts), ContentHash()) == whole
    assert content_hash(pa.concat_tables(parts)) == whole
    assert content_hash(pa.concat_tables(parts).combine_chunks()) == whole


def test_a_table_of_more_rows_than_are_hashed_at_once_has_the_hash_of_its_pieces() -> None:
    table = pa.table({"score": pa.array(range(2 * ROWS_AT_ONCE + 5))})
    cuts = [0, 7, ROWS_AT_ONCE + 1, table.num_rows]
    pieces = [content_hash(table.slice(low, high - low)) for low, high in pairwise(cuts)]
    assert sum(pieces, ContentHash()) == content_hash(table)


@few
@given(data=st.data(), rows=ROWS)
def test_the_order_of_rows_and_columns_leaves_the_hash(data: st.DataObject, rows: list[Row]) -> None:
    shuffled = data.draw(st.permutations(rows))
    names = data.draw(st.permutations(NAMES))
    assert content_hash(table_of(shuffled).select(names)) == content_hash(table_of(rows))


@few
@given(data=st.data(), rows=ROWS)
def test_a_changed_cell_changes_the_hash(data: st.DataObject, rows: list[Row]) -> None:
    at, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 3))
    cell = data.draw((TEXTS, TEXTS, TURNS, st.none() | st.integers(-5, 5))[column])
    assume(cell != rows[at][column])
    changed = [*rows]
    changed[at] = (*rows[at][:column], cell, *rows[at][column + 1 :])
    assert content_hash(table_of(changed)) != content_hash(table_of(rows))


@few
@given(rows=ROWS, times=st.integers(2, 4))
def test_a_repeated_row_changes_the_hash_however_often_it_is_repeated(rows: list[Row], times: int) -> None:
    hashes = {str(content_hash(table_of(rows + rows[:1] * extra))) for extra in range(times + 1)}
    assert len(hashes) == times + 1


@few
@given(rows=ROWS)
def test_a_lost_row_changes_the_hash(rows: list[Row]) -> None:
    assert content_hash(table_of(rows[1:])) != content_hash(table_of(rows))


@few
@given(rows=ROWS)
def test_cells_that_change_places_between_columns_change_the_hash(rows: list[Row]) -> None:
    swapped = [(answer, question, *rest) for question, answer, *rest in rows]
    assume(sorted(map(repr, swapped)) != sorted(map(repr, rows)))
    assert content_hash(table_of(swapped)) != content_hash(table_of(rows))


@few
@given(rows=ROWS)
def test_answers_that_change_places_between_rows_change_the_hash(rows: list[Row]) -> None:
    (first, one, *rest), (second, other, *more) = rows[0], rows[-1]
    swapped = [(first, other, *rest), *rows[1:-1], (second, one, *more)]
    assume(len(rows) > 1 and first != second and one != other)
    assert content_hash(table_of(swapped)) != content_hash(table_of(rows))


@pytest.mark.parametrize("other", ["", "null", "None", "n"])
def test_a_missing_text_is_no_text(other: str) -> None:
    missing, present = (pa.table({"answer": pa.array([cell], pa.string())}) for cell in (None, other))
    assert content_hash(missing) != content_hash(present)


def test_a_missing_history_is_no_empty_history() -> None:
    cells: list[list[object] | None] = [None, []]
    missing, empty = (pa.table({"history": pa.array([cell], pa.list_(TURN))}) for cell in cells)
    assert content_hash(missing) != content_hash(empty)


@pytest.mark.parametrize(("one", "other"), [(("xy", "z"), ("x", "yz")), (("x", "ysz"), ("xsy", "z"))])
def test_text_that_moves_over_the_border_of_two_cells_changes_the_hash(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    first, second = (pa.table({"a": [a], "b": [b]}) for a, b in (one, other))
    assert content_hash(first) != content_hash(second)


def test_a_renamed_or_retyped_column_changes_the_hash() -> None:
    hashes = {
        str(content_hash(table))
        for table in (pa.table({"a": [1]}), pa.table({"b": [1]}), pa.table({"a": ["1"]}), pa.table({"a": [1.0]}))
    }
    assert len(hashes) == 4


def test_a_name_that_looks_like_two_columns_is_one() -> None:
    sly = "a\x1estring\x1fb"
    two = pa.table({"a": pa.nulls(1, pa.string()), "b": pa.nulls(1, pa.string())})
    one = pa.table({sly: pa.nulls(1, pa.string())})
    assert content_hash(one).total != content_hash(two).total


class VectorScalar(pa.ExtensionScalar):  # type: ignore[misc] # pyarrow has no types
    def as_py(self, *, maps_as_pydicts: str | None = None) -> np.ndarray:
        return np.array(self.value.as_py())


class VectorType(pa.ExtensionType):  # type: ignore[misc] # pyarrow has no types
    """A column of embeddings whose values print short, as those that Ray Data writes."""

    def __init__(self) -> None:
        super().__init__(pa.list_(pa.float64()), "tests.vector")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    def __arrow_ext_scalar_class__(self) -> type[VectorScalar]:
        return VectorScalar


def test_long_vectors_that_differ_in_one_number_differ() -> None:
    values = [0.0] * 5000
    other = [*values[:2500], 1.0, *values[2501:]]
    columns = [pa.ExtensionArray.from_storage(VectorType(), pa.array([cell])) for cell in (values, other)]
    first, second = (pa.table({"embedding": column}) for column in columns)
    assert content_hash(first) != content_hash(second)


def test_a_schemas_metadata_leaves_the_hash() -> None:
    table = pa.table({"a": ["x"]})
    assert content_hash(table.replace_schema_metadata({"note": "y"})) == content_hash(table)


@few
@given(rows=ROWS)
def test_the_text_form_reads_back(rows: list[Row]) -> None:
    found = content_hash(table_of(rows))
    assert found.num_rows == len(rows)
    assert ContentHash.parse(str(found)) == found


@few
@given(st.lists(ROWS, max_size=4), st.data())
def test_parts_may_be_merged_in_any_order(parts: list[list[Row]], data: st.DataObject) -> None:
    hashes = [content_hash(table_of(part)) for part in parts]
    assert sum(data.draw(st.permutations(hashes)), ContentHash()) == sum(hashes, ContentHash())


def test_an_empty_dataset_has_no_rows_and_no_digest() -> None:
    assert content_hash(table_of([])) == ContentHash(total=0, num_rows=0)
