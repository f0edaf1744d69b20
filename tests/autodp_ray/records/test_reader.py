"""Reading: ids, extra columns, sentinels, bad rows, files and folders, bounded memory."""

from __future__ import annotations

import gzip
import json
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.json_types import json_type
from autodp_ray.records.formats.raw_rows import MAX_ROWS, BadRow
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.reader import read_records
from autodp_ray.records.row_ids import SeenHashes
from operators.contract.errors import InputError
from operators.rows.record import RECORD_COLUMNS, RECORD_SCHEMA


def read(path: Path | str, **settings: object) -> tuple[pa.Table, list[BadRow]]:
    bad: list[BadRow] = []
    tables = list(read_records(DatasetConfig(path=str(path), **settings), on_quarantine=bad.append))
    return pa.concat_tables(tables), bad


def jsonl(path: Path, *rows: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def pair(question: object = "q", answer: object = "a", **more: object) -> dict[str, object]:
    return {"question": question, "answer": answer, **more}


def test_a_table_starts_with_the_record_columns(tmp_path: Path) -> None:
    table, _ = read(jsonl(tmp_path / "a.jsonl", pair(topic="x")))
    assert table.schema.names[:5] == list(RECORD_COLUMNS)
    for name in RECORD_COLUMNS:
        assert table.schema.field(name).equals(RECORD_SCHEMA.field(name))
    assert table["origin"].to_pylist() == ["source"]
    assert table["history"].to_pylist() == [[]]


def test_made_ids_tell_exact_copies_apart_and_do_not_depend_on_the_format(tmp_path: Path) -> None:
    rows = [pair("x", n=1), pair("y", n=1), pair("x", n=1), pair("x", n=2), pair("x", n=1)]
    ids = read(jsonl(tmp_path / "a.jsonl", *rows))[0]["id"].to_pylist()
    assert len(set(ids)) == 5
    assert ids[2] == f"{ids[0]}-1"
    assert ids[4] == f"{ids[0]}-2"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0]["id"].to_pylist() == ids


def test_given_ids_are_kept_whatever_their_type(tmp_path: Path) -> None:
    assert read(jsonl(tmp_path / "a.jsonl", pair(id=3), pair(id=4)))[0]["id"].to_pylist() == ["3", "4"]
    named = read(jsonl(tmp_path / "b.jsonl", pair(key="u")), columns=ColumnNames(id="key"))[0]
    assert named["id"].to_pylist() == ["u"]
    assert "key" not in named.column_names


def test_a_repeated_id_is_an_error_that_names_it_and_both_places(tmp_path: Path) -> None:
    rows = [pair(id=f"r{n % 5000}") for n in range(5001)]
    path = jsonl(tmp_path / "a.jsonl", *rows)
    with pytest.raises(InputError, match=r"id 'r0'.*a\.jsonl line 1 and .*a\.jsonl line 5001.*ids: make"):
        read(path)
    table, _ = read(path, ids="make")
    assert len(set(table["id"].to_pylist())) == 5001
    assert table["source_id"].to_pylist()[-1] == "r0"


def test_an_id_column_with_gaps_is_an_extra_column_unless_it_is_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", pair(id="a"), pair(id=None), pair())
    table, bad = read(path)
    assert table["source_id"].to_pylist() == ["a", None, None]
    assert bad == []
    table, bad = read(path, columns=ColumnNames(id="id"))
    assert table["id"].to_pylist() == ["a"]
    assert [row.reason for row in bad] == ["'id' is no id", "no key 'id'"]


@given(st.lists(st.lists(st.integers(0, 8), max_size=9), max_size=12))
def test_occurrences_count_equal_hashes_over_all_batches(batches: list[list[int]]) -> None:
    seen = SeenHashes()
    before: list[int] = []
    for batch in batches:
        found = seen.occurrences(np.array(batch, dtype=np.uint64)).tolist()
        expected = [before.count(value) + batch[:index].count(value) for index, value in enumerate(batch)]
        assert found == expected
        before.extend(batch)


def test_extra_columns_have_one_schema_over_the_whole_input(tmp_path: Path) -> None:
    rows = [pair(n=1, tag="x")] * 5000 + [pair(n=2.5, late=[1], clash="t"), pair(clash={"a": 1})]
    config = DatasetConfig(path=str(jsonl(tmp_path / "a.jsonl", *rows)))
    layout = scan_layout(config)
    tables = list(read_records(config, on_quarantine=print, layout=layout))
    assert len(tables) > 1
    assert all(table.schema.equals(layout.schema, check_metadata=True) for table in tables)
    assert layout.schema.field("n").type == pa.float64()
    assert layout.schema.field("late").type == pa.list_(pa.int64())
    assert layout.schema.field("clash").metadata == {b"autodp.json": b"1"}
    assert tables[-1]["clash"].to_pylist()[-2:] == ['"t"', '{"a": 1}']


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=6))
def test_an_arrow_type_is_found_only_where_it_restores_every_value(values: list[object]) -> None:
    kind = json_type(values).arrow()
    if kind is not None:
        try:
            array = pa.array(values, kind)
        except UnicodeEncodeError:
            return
        assert array.to_pylist() == values


def test_integers_that_no_float_holds_are_never_rounded() -> None:
    assert json_type([2**60 + 1, 0.5]).arrow() is None
    assert json_type([2**60 + 1, 1]).arrow() == pa.int64()
    assert json_type([1, 0.5]).arrow() == pa.float64()
    assert json_type([2**70]).arrow() is None


def test_sentinels_read_as_null_after_stripping_and_only_there(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", pair(" N/A ", "null and void", note="N/A"), pair("q", "无"), pair("null", "a"))
    table, _ = read(path)
    assert table["question"].to_pylist() == [None, "q", None]
    assert table["answer"].to_pylist() == ["null and void", None, "a"]
    assert table["note"].to_pylist() == ["N/A", None, None]
    table, _ = read(path, nulls=())
    assert table["answer"].to_pylist()[1] == "无"


def test_bad_rows_are_set_aside_with_line_and_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps(pair()).encode()
    bad_lines = [b'{"question": "x", ', b"[1]", b'{"question": "x"}', b'{"question": 3, "answer": "y"}']
    bad_lines += [b'{"question": "\xff", "answer": "y"}', b'{"question": "", "answer": null}', b"", b"[" * 100_000]
    path.write_bytes(b"\n".join([good, *bad_lines, good]))
    table, bad = read(path)
    assert table.num_rows == 2
    assert [(row.line, row.reason) for row in bad] == [
        (2, "invalid JSON"),
        (3, "not a JSON object"),
        (4, "no key 'answer'"),
        (5, "'question' is no text"),
        (6, "invalid UTF-8"),
        (7, "empty row"),
        (9, "invalid JSON"),
    ]
    assert bad[0].raw == '{"question": "x", '
    assert all(row.source == str(path) for row in bad)


def test_conversations_that_hold_no_pair_are_set_aside(tmp_path: Path) -> None:
    def turns(*roles: str) -> dict[str, object]:
        return {"messages": [{"role": role, "content": role} for role in roles]}

    odd = [turns("user", "narrator"), turns("user", "no role, but a text", "assistant"), turns("system"), turns()]
    odd += [{"messages": "x"}]
    odd += [{"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": 3}]}]
    good = [turns("user", "assistant"), turns("user", "tool", "user"), turns("user", "assistant", "assistant")]
    path = jsonl(tmp_path / "a.jsonl", *good, *odd)
    table, bad = read(path)
    assert table["question"].to_pylist() == ["user", "user", "user"]
    assert table["answer"].to_pylist() == ["assistant", None, "assistant"]
    assert len(bad) == len(odd)
    reasons = {row.reason for row in bad}
    assert len(reasons) == 6
    assert any("'narrator'" in reason and "dataset.roles" in reason for reason in reasons)
    assert not any("but a text" in reason for reason in reasons)


def test_a_broken_object_in_a_json_array_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '[\n{"question": "1", "answer": "a"},\n{"question": bad, "answer": "a"},\n{"question": "3", "answer": "a"}, 7]'
    )
    table, bad = read(path)
    assert table["question"].to_pylist() == ["1", "3"]
    assert [(row.line, row.reason) for row in bad] == [(3, "invalid JSON"), (4, "not a JSON object")]


def test_a_csv_row_of_another_width_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'question,answer\n"two\nlines",a\nq,a,extra\n"say ""hi""",b\n\xff,c\n,\n')
    table, bad = read(path)
    assert table["question"].to_pylist() == ["two\nlines", 'say "hi"']
    assert [(row.line, row.reason) for row in bad] == [
        (4, "a row with another number of cells than the header"),
        (6, "invalid UTF-8"),
        (7, "empty row"),
    ]


def test_a_folder_and_a_glob_are_read_in_path_order(tmp_path: Path) -> None:
    jsonl(tmp_path / "data" / "b.jsonl", pair("2"))
    jsonl(tmp_path / "data" / "a.jsonl", pair("1"))
    jsonl(tmp_path / "data" / "deep" / "c.jsonl", pair("3"))
    jsonl(tmp_path / "data" / "_hidden.jsonl", pair("no"))
    (tmp_path / "data" / "README.md").write_text("no rows")
    assert read(tmp_path / "data")[0]["question"].to_pylist() == ["1", "2", "3"]
    assert read(f"{tmp_path}/data/*.jsonl")[0]["question"].to_pylist() == ["1", "2"]
    assert read(f"file://{tmp_path}/data/**/[ac].jsonl")[0]["question"].to_pylist() == ["1", "3"]


def test_compressed_text_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(pair("é")).encode()))
    assert read(tmp_path / "a.jsonl.gz")[0]["question"].to_pylist() == ["é"]


def test_an_arrow_stream_is_read_as_a_file_is(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([pair(), pair("r")])
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    assert read(tmp_path / "a.arrow")[0]["question"].to_pylist() == ["q", "r"]


def test_parquet_files_with_different_columns_share_a_schema(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"question": ["1"], "answer": ["a"], "n": pa.array([1], pa.int32())}), tmp_path / "a.parquet"
    )
    pq.write_table(pa.table({"question": ["2"], "answer": ["a"], "n": ["x"], "m": [True]}), tmp_path / "b.parquet")
    table, _ = read(tmp_path)
    assert table["n"].to_pylist() == ["1", '"x"']
    assert table["m"].to_pylist() == [None, True]


def test_the_limit_counts_rows_of_the_input(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", pair("1"), "broken", pair("3", late=1), pair("4"))
    table, bad = read(path, limit=2)
    assert table["question"].to_pylist() == ["1"]
    assert len(bad) == 1
    assert "late" not in table.column_names


def test_an_installed_corpus_gives_the_opening_pair_of_each_conversation() -> None:
    table, bad = read("pkg:chatterbot_corpus/english")
    assert table.num_rows > 2000
    assert "What is AI?" in table["question"].to_pylist()
    assert len(set(table["id"].to_pylist())) == table.num_rows
    assert {row.reason for row in bad} <= {"a conversation without two turns"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "does not exist"),
        ("empty.jsonl", b"", "is empty"),
        ("blank.jsonl", b"\n\n", "holds no rows"),
        ("header.csv", b"question,answer\n", "holds no rows"),
        ("some.xyz", b"hello", "cannot tell the format.*jsonl, json, parquet, arrow, csv"),
        ("bad.jsonl", b"{\n{\n", r"no row of .* line 1: invalid JSON"),
        ("bad.parquet", b"PAR1 but not really", "cannot be read as parquet"),
        ("typed.jsonl", b'{"question": 1, "answer": 2}', r"can be read as columns.*'question' is no text"),
        ("title.csv", b"All of May,,\n\nquestion,answer,\nx,y,\n", "2 columns without a name; see that it begins with"),
        ("twice.csv", b"question,question\nx,y\n", "two columns called 'question'"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_packages_and_uris_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match="no_such_package"):
        read("pkg:no_such_package/english")
    with pytest.raises(InputError, match="english"):
        read("pkg:chatterbot_corpus/klingon")
    with pytest.raises(InputError, match="cannot open 'bogus://x/y'"):
        read("bogus://x/y")


@pytest.mark.heavy
def test_memory_stays_bounded_while_200_000_rows_stream(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    line = json.dumps(pair("q" * 60, "a" * 120, n=0)) + "\n"
    with path.open("w") as file:
        for start in range(0, 200_000, 10_000):
            file.writelines(line.replace("qq", str(start + offset), 1) for offset in range(10_000))
    size = path.stat().st_size
    config = DatasetConfig(path=str(path))
    layout = scan_layout(config)
    num_rows, resident = 0, []
    for table in read_records(config, on_quarantine=print, layout=layout):
        assert table.num_rows <= MAX_ROWS
        num_rows += table.num_rows
        resident.append(_resident_bytes())
    assert num_rows == 200_000
    assert max(resident) - resident[3] < 16 << 20 < size / 2


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
