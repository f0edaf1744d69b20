"""Splits: whatever a file holds and wherever it is cut, its rows are those of one reader."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from actors.data.many_jobs import ManyJobs
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.files.file_kinds import why_unreadable
from autodp_ray.records.files.file_ranges import RangeEnd
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.formats import csv_rows, json_stream, jsonl_lines, record_ends
from autodp_ray.records.formats.raw_rows import RawBatch, raw_batches
from autodp_ray.records.formats.record_ends import exact_range
from autodp_ray.records.splits.plan import Split, plan_splits
from autodp_ray.records.splits.split_pass import over_splits
from autodp_ray.records.splits.split_reader import SplitReader

HERE = ManyJobs(name="reading", stays_here=True)
Place = tuple[str, int, object, str]
"""File, line, and the row, or the reason and raw text of what is none."""

PRETTY = json.dumps({"a": {"b": 1}, "c": [2]}, indent=2)
LINES = [
    '{"a": 1}',
    '{"b": "\\u554f"}',
    '{"a": "问题", "c": {}}',
    '{"a": 1}, {"a": 2}',
    '{"a": 1} {"broken',
    '[{"a": 1}, {"b": 2}]',
    '[{"z": 1}]',
    "[1, 2]",
    "{",
    "}",
    "},",
    "{}",
    "",
    "  ",
    "null",
    '"text"',
    "broken {",
    '{"a": 1}  ',
    '  {"a": 3},',
    '"a": 1',
    PRETTY,
    PRETTY + ",",
    PRETTY.replace("}", "", 1),
]
nasty_lines = st.one_of(
    st.sampled_from([line.encode() for line in LINES]),
    st.sampled_from(
        [b'{"a": "\xff"}', b"\xff\xfe", b'{"a": "\xc3', b"\xef\xbb\xbf" + b'{"a": 1}', b'{"a": "\\ud800"}']
    ),
    st.binary(max_size=6),
)
nasty_files = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.tuples(nasty_lines, st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n"])), max_size=14),
    nasty_lines,
).map(lambda file: file[0] + b"".join(line + end for line, end in file[1]) + file[2])


def places(batches: Sequence[RawBatch]) -> list[Place]:
    """What stands where, with the reason and text of what is no row."""
    found: list[Place] = []
    for batch in batches:
        rows: Sequence[object] | None = batch.rows if batch.table is None else batch.table.to_pylist()
        here: list[Place] = [(batch.source, line, row, "") for line, row in zip(batch.lines, rows or (), strict=True)]
        found += [*here, *((row.source, row.line, row.reason, row.raw) for row in batch.bad)]
    return sorted(found, key=lambda place: (place[0], place[1]))


def rows_first(found: Sequence[Place]) -> list[Place]:
    """Of many on one line, those that are no rows behind those that are: which batch they stand in is no matter."""
    return sorted(found, key=lambda place: (place[0], place[1], place[3] != ""))


def read_split(split: Split) -> tuple[list[RawBatch], RangeEnd]:
    reader = SplitReader(split)
    return list(reader.batches()), reader.end


def places_by_splits(splits: Sequence[Split]) -> list[Place]:
    found: list[Place] = []
    for done in over_splits(splits, read_split, HERE):
        found += [(source, line + done.lines_ahead, row, raw) for source, line, row, raw in places(done.value)]
    return found


@given(data=nasty_files, size=st.integers(1, 60), window=st.sampled_from([8, 1 << 20]))
@example(data=b'{"a": 1}\n{\n[{"a": 2}]\n{"a": 3}\n}\n{"a": 4}', size=9, window=1 << 20)
@example(data=b'1\n2\n[{"a": 1}]\n{"a": 3}\n[{"a": 1}]\n', size=4, window=8)
@example(data=b'{"a": 1,\r"b": 2,\r"c": 3}\n{"a": 4}', size=3, window=8)
def test_any_cuts_of_any_bytes_give_the_rows_of_one_reader(data: bytes, size: int, window: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_ends, "WINDOW_BYTES", window)
        patch.setattr(record_ends, "_PIECE_BYTES", min(window, 1 << 16))
        patch.setattr(jsonl_lines, "MAX_OBJECT_LINES", 4)
        path = Path(folder, "a.jsonl")
        path.write_bytes(data)
        file = SourceFile(
            filesystem=pa.fs.LocalFileSystem(), path=str(path), label="a", format="jsonl", encoding="utf-8"
        )
        assume(why_unreadable("a.jsonl", data, "jsonl") is None)
        whole = places(list(raw_batches([file])))
        splits = plan_splits([file], split_bytes=size)
        assert places_by_splits(splits) == whole
        settled = [done.split for done in over_splits(splits, read_split, HERE)]
        assert places_by_splits(settled) == whole
        assert [done.lines_ahead for done in over_splits(settled, read_split, HERE)] == [0] * len(settled)


NESTED = '{"a": "x", "b": [{"a": 1}, {"a": "},{\\"a\\":"}, {"c": [{}, {"a": 2}]}]}'
VALUES = ['{"a": 1}', '{"a": "问\\n题"}', NESTED, json.dumps(json.loads(NESTED), indent=1), '{"b": 1}', "{}", "[]"]
BROKEN = ['{"a": "never closed}', '{"a" 1}', '{"a": 1', "1", '"text"', "null", "]", "[", '[{"a": 3}', "}", ",", "tru"]
nasty_arrays = st.tuples(
    st.sampled_from(["[", "\ufeff[\n", ""]),
    st.lists(
        st.tuples(st.sampled_from([*VALUES, *VALUES, *BROKEN]), st.sampled_from([",", ", ", ",\n", "\n"])), max_size=14
    ),
    st.sampled_from(["]", "\n]\n", "", '{"a": 1}]', "] x", '][{"a": 1}]']),
).map(lambda file: (file[0] + "".join(value + end for value, end in file[1]) + file[2]).encode())


@given(
    data=st.one_of(nasty_arrays, nasty_arrays.map(lambda data: b'[{"a": 0}, ' + data), st.binary(max_size=20)),
    size=st.integers(1, 60),
    window=st.sampled_from([8, 1 << 20]),
    chunk=st.sampled_from([1, 7, 1 << 22]),
)
@example(data=b'[{"a": 1}, {"a": "x\xff},{\xe9"}, {"a": "\xe9\x97"}]', size=11, window=8, chunk=1)
def test_any_cuts_of_any_array_give_the_rows_of_one_reader(data: bytes, size: int, window: int, chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "a.json")
        path.write_bytes(data)
        file = SourceFile(
            filesystem=pa.fs.LocalFileSystem(), path=str(path), label="a", format="json", encoding="utf-8"
        )
        assume(why_unreadable("a.json", data, "json") is None)
        whole = rows_first(places(list(raw_batches([file]))))
        patch.setattr(record_ends, "WINDOW_BYTES", window)
        patch.setattr(record_ends, "_PIECE_BYTES", min(window, 1 << 16))
        patch.setattr(json_stream, "CHUNK_BYTES", chunk)
        splits = plan_splits([file], split_bytes=size)
        assert rows_first(places_by_splits(splits)) == whole
        settled = [done.split for done in over_splits(splits, read_split, HERE)]
        assert rows_first(places_by_splits(settled)) == whole
        assert [done.lines_ahead for done in over_splits(settled, read_split, HERE)] == [0] * len(settled)


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_cut_where_its_objects_end(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "a.json"
    turns = [{"from": "human", "value": "},{"}, {"from": "gpt", "value": "[]"}]
    path.write_text(json.dumps([{"id": n, "conversations": turns} for n in range(1000)], indent=indent))
    splits = plan_splits(find_files(DatasetConfig(path=str(path))), split_bytes=path.stat().st_size // 10)
    assert len(splits) >= 10
    as_guessed = [exact_range(split.ranges[0]).start for split in splits]
    done = list(over_splits(splits, read_split, HERE))
    assert [each.split.ranges[0].start for each in done] == as_guessed
    sizes = [sum(batch.num_rows for batch in each.value) for each in done]
    assert sum(sizes) == 1000
    assert max(sizes) < 110


csv_lines = st.one_of(
    st.sampled_from(
        [
            b"1,2",
            b'"a\nb",2',
            b'"a, ""b""\r\n1,2\n",3',
            b'"never closed,2',
            b'x"y,2',
            b'"closed" inside,2',
            b"1,2,3",
            b'"1";2',
            b"",
            b" ",
            b"\xff,2",
            "问,题".encode(),
            b'"1\n2\n3\n4,5\n",""',
        ]
    ),
    st.binary(max_size=5),
)
csv_files = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"sep=,\n"]),
    st.sampled_from([b"a,b\n", b'"a\n",b\r\n', b"a,b\r", b"\na,b\n", b"a;b,x\n"]),
    st.lists(st.tuples(csv_lines, st.sampled_from([b"\n", b"\n", b"\r\n", b"\r", b"\n\n"])), max_size=14),
    csv_lines,
).map(lambda file: file[0] + file[1] + b"".join(line + end for line, end in file[2]) + file[3])


@given(
    data=csv_files, size=st.integers(6, 80), window=st.sampled_from([8, 1 << 20]), block=st.sampled_from([7, 1 << 22])
)
@example(data="a,b\n问,题\r1,2\n1,2".encode(), size=6, window=8, block=7)  # the second cut lies before the first
def test_any_cuts_of_any_csv_give_the_rows_of_one_reader(data: bytes, size: int, window: int, block: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "a.csv")
        path.write_bytes(data)
        file = SourceFile(filesystem=pa.fs.LocalFileSystem(), path=str(path), label="a", format="csv", encoding="utf-8")
        assume(why_unreadable("a.csv", data, "csv") is None)
        whole = places(list(raw_batches([file])))
        patch.setattr(record_ends, "WINDOW_BYTES", window)
        patch.setattr(record_ends, "_PIECE_BYTES", min(window, 1 << 16))
        patch.setattr(csv_rows, "BLOCK_BYTES", block)
        splits = plan_splits([file], split_bytes=size)
        assert places_by_splits(splits) == whole
        settled = [done.split for done in over_splits(splits, read_split, HERE)]
        assert places_by_splits(settled) == whole


def test_csv_with_line_breaks_in_its_cells_is_cut_where_rows_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = "first, second\n\nthird line, and more\n" * 3
    path.write_text("a,b,c\n" + "".join(f'{n},"{text}","{text}"\n' for n in range(300)))
    splits = plan_splits(find_files(DatasetConfig(path=str(path))), split_bytes=5000)
    assert len(splits) > 10
    as_guessed = [exact_range(split.ranges[0]).start for split in splits]
    assert [done.split.ranges[0].start for done in over_splits(splits, read_split, HERE)] == as_guessed


def test_most_files_are_cut_where_objects_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"a": n}) + "\n" for n in range(1000)))
    splits = plan_splits(find_files(DatasetConfig(path=str(path))), split_bytes=1000)
    assert len(splits) == 11
    sizes = [sum(batch.num_rows for batch in done.value) for done in over_splits(splits, read_split, HERE)]
    assert sum(sizes) == 1000
    assert max(sizes) < 110


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables_are_cut_between_their_groups(tmp_path: Path, kind: str) -> None:
    table = pa.table({"a": list(range(1000))})
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=90)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=90)
    files = find_files(DatasetConfig(path=str(path)))
    splits = plan_splits(files, split_bytes=1500)
    assert len(splits) > 3
    assert places_by_splits(splits) == places(list(raw_batches(files)))


def test_small_files_are_read_together_and_large_ones_by_ranges(tmp_path: Path) -> None:
    for name, num in (("a", 3), ("b", 3), ("c", 400), ("d", 2)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"a": n}) + "\n" for n in range(num)))
    files = find_files(DatasetConfig(path=str(tmp_path)))
    splits = plan_splits(files, split_bytes=1000)
    assert [len(split.ranges) for split in splits] == [2, 1, 1, 1, 1, 1, 1]
    assert places_by_splits(splits) == places(list(raw_batches(files)))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "b.json", "a.csv.gz"])
def test_what_cannot_be_cut_is_one_split(tmp_path: Path, name: str) -> None:
    import gzip

    text = b'{\n"rows": [{"a": 1}, {"a": 2}]}' if name == "b.json" else b'[{"a": 1}, {"a": 2}]' * 9
    (tmp_path / name).write_bytes(gzip.compress(text * 50) if name.endswith("gz") else text)
    files = find_files(DatasetConfig(path=str(tmp_path)))
    assert [split.ranges[0].stop for split in plan_splits(files, split_bytes=2)] == [None]


def test_a_limit_is_for_the_first_rows_of_all_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"a": 1}\nbad\n' * 4)
    files = find_files(DatasetConfig(path=str(tmp_path)))
    (split,) = plan_splits(files, limit=11, split_bytes=5)
    assert places(read_split(split)[0]) == places(list(raw_batches(files, limit=11)))
    assert len(places(read_split(replace(split, limit=3))[0])) == 3
