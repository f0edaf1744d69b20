"""Extra columns of every Arrow type come back as they were; files of different types are read together or refused."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from operators.contract.errors import InputError

DAY, NOON = dt.datetime(2020, 1, 1), dt.time(12)
COLUMNS: dict[str, pa.Array] = {
    "null": pa.nulls(3),
    "list of null": pa.array([[], [None], None]),
    "struct of null": pa.array([{"a": None}, None, {"a": None}], pa.struct({"a": pa.null()})),
    "empty lists": pa.array([[], [], []], pa.list_(pa.string())),
    "all null integers": pa.nulls(3, pa.int32()),
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "dictionary of large strings": pa.array(["a", "b", None], pa.large_string()).dictionary_encode(),
    "dictionary of integers": pa.array([1, 2, None]).dictionary_encode(),
    "small dictionary": pa.array(["a", "b", None]).cast(pa.dictionary(pa.int8(), pa.string())),
    "ordered dictionary": pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["x", "y"]), ordered=True),
    "list of dictionary": pa.array([["a"], ["b", "a"], None], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    "large string": pa.array(["a", None, "c"], pa.large_string()),
    "string view": pa.array(["a", None, "c"], pa.string_view()),
    "nested view": pa.array([{"a": "x", "b": ["y"]}, None, {"a": None, "b": []}]).cast(
        pa.struct({"a": pa.string_view(), "b": pa.list_(pa.string_view())})
    ),
    "binary": pa.array([b"\xff", None, b""]),
    "large binary": pa.array([b"\xff", None, b""], pa.large_binary()),
    "binary view": pa.array([b"\xff", None, b""], pa.binary_view()),
    "fixed binary": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "decimal": pa.array([decimal.Decimal("1.23"), None, decimal.Decimal("4.50")]),
    "wide decimal": pa.array([decimal.Decimal("1.23"), None, None], pa.decimal256(50, 2)),
    "timestamp in a zone": pa.array([DAY, None, None], pa.timestamp("ns", "Europe/Berlin")),
    "timestamp in seconds": pa.array([DAY, None, None], pa.timestamp("s")),
    "date": pa.array([DAY.date(), None, None]),
    "time": pa.array([NOON, None, None], pa.time64("ns")),
    "duration": pa.array([dt.timedelta(1), None, None]),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3]), None, None]),
    "fixed list": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "large list": pa.array([[1], None, []], pa.large_list(pa.int64())),
    "list view": pa.array([[1], None, []], pa.list_view(pa.int64())),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "wide integer": pa.array([2**63 + 1, None, 0], pa.uint64()),
    "half": pa.array([1.5, None, 0], pa.float16()),
    "bool": pa.array([True, None, False]),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}]),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, None, b"b" * 16], pa.binary(16))),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None, "[]"], pa.string())),
    "tensor": pa.FixedShapeTensorArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), [2, 2]), pa.array([[1, 2, 3, 4]] * 3, pa.list_(pa.int32(), 4))
    ),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None])),
}


UNKNOWN_TO = {".parquet": ("interval", "runs")}
"""Types that a format does not have."""


def _write(table: pa.Table, path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path | str) -> pa.Table:
    if str(path).endswith(".parquet"):
        return pq.read_table(path)
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _through_the_records(path: Path, target: Path, *, answer: str | None = None) -> pa.Table:
    """Read, stored as between two teams, and written."""
    config = DatasetConfig(path=str(path))
    layout = scan_layout(config)
    stored = pa.BufferOutputStream()
    with pa.ipc.new_file(stored, layout.schema) as writer:
        for table in read_records(config, on_quarantine=print, layout=layout):
            writer.write_table(table)
    table = pa.ipc.open_file(stored.getvalue()).read_all()
    table = table.filter(pa.array([True] * table.num_rows)).take(pa.array(range(table.num_rows)))
    if answer is not None:
        filled = pa.array([answer] * table.num_rows)
        table = table.set_column(table.column_names.index("answer"), table.schema.field("answer"), filled)
    [written] = write_records([table], str(target), layout=layout)
    return _read(written)


def _pairs(**columns: pa.Array) -> pa.Table:
    num_rows = len(next(iter(columns.values())))
    questions, answers = ([f"{name}{at}" for at in range(num_rows)] for name in "qa")
    return pa.table({"question": questions, **columns, "answer": answers})


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name in COLUMNS for suffix in (".parquet", ".arrow") if name not in UNKNOWN_TO.get(suffix, ())],
)
def test_an_extra_column_of_any_type_comes_back_as_it_was(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"in{suffix}"
    _write(_pairs(x=COLUMNS[name]), path)
    source = _read(path)
    out = _through_the_records(path, tmp_path / f"out{suffix}")
    assert out.schema == source.schema
    assert out.equals(source) or out.to_pylist() == source.to_pylist()


def test_dictionaries_that_differ_from_batch_to_batch_come_back(tmp_path: Path) -> None:
    kind = pa.dictionary(pa.int32(), pa.string())
    columns = [pa.array([f"{part}-{at % 50}" for at in range(5000)]).cast(kind) for part in range(2)]
    table = pa.concat_tables([_pairs(x=column) for column in columns]).unify_dictionaries()
    for suffix in (".parquet", ".arrow"):
        _write(table, tmp_path / f"in{suffix}")
        out = _through_the_records(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
        assert out["x"].to_pylist() == table["x"].to_pylist()
        assert out.schema.field("x").type == kind


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_tables_of_different_dictionaries_become_one_file(tmp_path: Path, suffix: str, is_nested: bool) -> None:
    values = pa.array([f"v{at % 70}" for at in range(300)]).dictionary_encode()
    table = _pairs(x=pa.ListArray.from_arrays(pa.array(range(301), pa.int32()), values) if is_nested else values)
    path = tmp_path / f"in{suffix}"
    _write(table, path)
    config = DatasetConfig(path=str(path))
    layout = scan_layout(config)
    (rows,) = read_records(config, on_quarantine=print, layout=layout)
    parts = [rows.slice(start, 50) for start in range(0, 300, 50)]
    [written] = write_records(parts, str(tmp_path / f"out{suffix}"), layout=layout)
    assert _read(written).to_pylist() == table.to_pylist()
    assert _read(written).schema == _read(path).schema


def test_files_of_small_dictionaries_become_one_of_as_many_values_as_all_have(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    small = pa.dictionary(pa.int8(), pa.string())
    for name in "ab":
        _write(_pairs(x=pa.array([f"{name}{at}" for at in range(100)]).cast(small)), tmp_path / "in" / f"{name}.arrow")
    out = _through_the_records(tmp_path / "in", tmp_path / "out.arrow")
    assert out["x"].to_pylist() == [f"{name}{at}" for name in "ab" for at in range(100)]
    assert pa.types.is_dictionary(out.schema.field("x").type)


def test_answers_of_a_small_dictionary_can_be_any_number_of_new_ones(tmp_path: Path) -> None:
    answers = pa.array(["yes", "no"] * 100).cast(pa.dictionary(pa.int8(), pa.string()))
    _write(pa.table({"question": [f"q{at}" for at in range(200)], "answer": answers}), tmp_path / "in.arrow")
    config = DatasetConfig(path=str(tmp_path / "in.arrow"))
    layout = scan_layout(config)
    (rows,) = read_records(config, on_quarantine=print, layout=layout)
    new = pa.array([f"new {at}" for at in range(200)])
    rows = rows.set_column(rows.column_names.index("answer"), rows.schema.field("answer"), new)
    [written] = write_records([rows], str(tmp_path / "out.arrow"), layout=layout)
    assert _read(written)["answer"].to_pylist() == new.to_pylist()


def test_what_pyarrow_does_not_read_is_not_called_damaged(tmp_path: Path) -> None:
    values = pa.StructArray.from_arrays([pa.array(["a", "b"] * 10).dictionary_encode()], ["x"])
    pq.write_table(_pairs(x=values), tmp_path / "in.parquet", row_group_size=7)
    with pytest.raises(InputError, match=r"it holds what pyarrow does not read; write it anew in plainer types"):
        _through_the_records(tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_a_column_of_nulls_can_be_filled_where_it_holds_the_answers(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"question": ["a", "b"], "answer": pa.nulls(2), "note": pa.nulls(2)}), tmp_path / "in.parquet"
    )
    out = _through_the_records(tmp_path / "in.parquet", tmp_path / "out.parquet", answer="new")
    assert out["answer"].to_pylist() == ["new", "new"]
    assert out.schema.field("note").type == pa.null()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.nulls(1), pa.array([5])),
        (pa.array([5]), pa.nulls(1)),
        (pa.array([1], pa.int32()), pa.array([2**40])),
        (pa.array([[]], pa.list_(pa.null())), pa.array([[1]])),
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"])),
        (pa.array(["a"], pa.large_string()), pa.array(["b"])),
        (pa.array([{"a": 1}]), pa.array([{"a": 2, "b": "x"}])),
        (pa.array([{"a": None}], pa.struct({"a": pa.null()})), pa.array([{"a": "x"}])),
        (pa.array([DAY], pa.timestamp("s")), pa.array([DAY], pa.timestamp("us"))),
        (pa.array([1]), pa.array([0.5])),
        (pa.array([decimal.Decimal("1.2")]), pa.array([decimal.Decimal("1.23")])),
    ],
)
def test_values_of_two_files_meet_in_one_column(tmp_path: Path, one: pa.Array, other: pa.Array) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(_pairs(x=one), tmp_path / "in" / "a.parquet")
    pq.write_table(_pairs(x=other), tmp_path / "in" / "b.parquet")
    out = _through_the_records(tmp_path / "in", tmp_path / "out.parquet")["x"].to_pylist()
    expected = [*one.to_pylist(), *other.to_pylist()]
    if pa.types.is_struct(other.type):
        expected = [{name: value.get(name) for name in other.type.names} for value in expected]
    assert out == expected


def test_a_column_that_is_text_in_one_file_and_numbers_in_another_keeps_its_texts(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, column in (("a", pa.array([5])), ("b", pa.array(["five"])), ("c", pa.array([[1]]))):
        pq.write_table(_pairs(x=column), tmp_path / "in" / f"{name}.parquet")
    out = _through_the_records(tmp_path / "in", tmp_path / "out.parquet")
    assert out["x"].to_pylist() == ["5", "five", "[1]"]


def test_a_value_that_no_common_type_holds_is_refused_and_not_rounded(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(_pairs(x=pa.array([2**60 + 1])), tmp_path / "in" / "a.parquet")
    pq.write_table(_pairs(x=pa.array([0.5])), tmp_path / "in" / "b.parquet")
    with pytest.raises(InputError, match="the column 'x' is int64 here and double elsewhere"):
        _through_the_records(tmp_path / "in", tmp_path / "out.parquet")


def test_turns_may_hold_fields_that_json_has_not(tmp_path: Path) -> None:
    turn = pa.struct(
        {"role": pa.string(), "content": pa.string(), "at": pa.timestamp("us", "UTC"), "price": pa.decimal128(5, 2)}
    )
    more = {"at": DAY.replace(tzinfo=dt.UTC), "price": decimal.Decimal("1.50")}
    turns = [{"role": role, "content": role, **more} for role in ("user", "assistant")]
    table = pa.table({"messages": pa.array([turns, turns[:1]], pa.list_(turn))})
    pq.write_table(table, tmp_path / "in.parquet")
    assert _through_the_records(tmp_path / "in.parquet", tmp_path / "out.parquet").equals(table)


def test_bytes_in_turns_are_refused_with_the_name_of_their_column(tmp_path: Path) -> None:
    turn = {"role": "user", "content": "x", "image": b"\xff"}
    pq.write_table(pa.table({"messages": [[turn]]}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match=r"the column 'messages' of .* holds binary in its turns"):
        scan_layout(DatasetConfig(path=str(tmp_path / "in.parquet")))
