"""Finding files as people have them: folders, saved datasets, compressed and foreign files, the hub's cache."""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import lzma
import zipfile
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_all
from autodp_ray.records.files.file_kinds import COMPRESSIONS, format_of_head
from autodp_ray.records.files.hub_datasets import hub_folder
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from operators.contract.errors import InputError
from tests.autodp_ray.records.input_rows import jsonl, questions, read, rows_of, save_to_disk


def test_hidden_folders_and_caches_are_left_out_and_said(tmp_path: Path) -> None:
    jsonl(tmp_path / "d" / "a.jsonl", rows_of(2))
    jsonl(tmp_path / "d" / ".ipynb_checkpoints" / "a-checkpoint.jsonl", rows_of(2))
    jsonl(tmp_path / "d" / "__MACOSX" / "a.jsonl", rows_of(2))
    (tmp_path / "d" / "sheet.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "d" / "a.jsonl.quarantine.jsonl").write_text('{"source": "a", "line": 1}\n')
    assert read(tmp_path / "d")[0].num_rows == 2
    assert read(f"{tmp_path}/d/**/*.jsonl")[0].num_rows == 2
    assert read(tmp_path / "d" / ".ipynb_checkpoints")[0].num_rows == 2
    left_out = "; ".join(find_all(DatasetConfig(path=str(tmp_path / "d"))).left_out)
    assert "2 hidden files" in left_out
    assert "1 files of quarantined rows" in left_out
    assert ".xlsx" in left_out


def test_of_several_snapshots_the_one_of_refs_main_is_read(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--org--name"
    old, new = "a" * 40, "b" * 40
    jsonl(repository / "snapshots" / old / "train.jsonl", rows_of(2))
    jsonl(repository / "snapshots" / new / "train.jsonl", rows_of(3))
    with pytest.raises(InputError, match=f"several snapshots .*{old}.*{new}"):
        read(repository)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(new)
    assert read(repository)[0].num_rows == 3
    assert read(repository / "snapshots")[0].num_rows == 3
    assert read(repository / "snapshots" / old)[0].num_rows == 2


def test_a_saved_dataset_is_read_by_its_state_and_split(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "one", rows_of(3))
    assert read(tmp_path / "one")[0].num_rows == 3
    save_to_disk(tmp_path / "both" / "train", rows_of(3))
    save_to_disk(tmp_path / "both" / "test", rows_of(2, 10))
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match=r"several splits \(test, train\); choose one with dataset.split"):
        read(tmp_path / "both")
    assert questions(tmp_path / "both", split="test") == ["q10", "q11"]
    with pytest.raises(InputError, match=r"no split 'dev'.*test, train"):
        read(tmp_path / "both", split="dev")


def test_a_llama_factory_folder_is_read_by_the_name_of_a_dataset(tmp_path: Path) -> None:
    info = {
        "plain": {"file_name": "plain.json"},
        "named": {"file_name": "named.jsonl", "columns": {"prompt": "ask", "query": "about", "response": "reply"}},
        "turns": {
            "file_name": "turns.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "pupil", "assistant_tag": "teacher"},
        },
        "other_column": {"file_name": "other.jsonl", "formatting": "sharegpt", "columns": {"messages": "dialog"}},
        "ranked": {
            "file_name": "ranked.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
        },
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "plain.json").write_text(json.dumps([{"instruction": "i", "input": "j", "output": "o"}]))
    (tmp_path / "named.jsonl").write_text(json.dumps({"ask": "q", "about": "c", "reply": "a"}))
    turns = [{"role": "pupil", "content": "how"}, {"role": "teacher", "content": "so"}]
    (tmp_path / "turns.jsonl").write_text(json.dumps({"messages": turns}))
    turns = [{"from": "human", "value": "how"}, {"from": "gpt", "value": "so"}]
    (tmp_path / "other.jsonl").write_text(json.dumps({"dialog": turns}))
    (tmp_path / "ranked.jsonl").write_text(
        json.dumps({"conversations": turns[:1], "chosen": turns[1], "rejected": {**turns[1], "value": "no"}})
    )
    with pytest.raises(
        InputError, match=r"5 datasets \(plain, named, turns, other_column, ranked\); choose one with dataset\.name"
    ):
        read(tmp_path)
    assert read(tmp_path, name="plain")[0]["answer"].to_pylist() == ["o"]
    table = read(tmp_path, name="named")[0]
    assert (table["question"].to_pylist(), table["answer"].to_pylist()) == (["q\nc"], ["a"])
    table = read(tmp_path, name="turns")[0]
    assert (table["question"].to_pylist(), table["answer"].to_pylist()) == (["how"], ["so"])
    table = read(tmp_path, name="other_column")[0]
    assert (table["question"].to_pylist(), table["answer"].to_pylist()) == (["how"], ["so"])
    with pytest.raises(InputError, match="is preference data"):
        read(tmp_path, name="ranked")
    table = read(tmp_path, name="ranked", preference="chosen")[0]
    assert (table["question"].to_pylist(), table["answer"].to_pylist()) == (["how"], ["so"])
    with pytest.raises(InputError, match="no dataset 'other'"):
        read(tmp_path, name="other")


# one object, columns, two tables


@pytest.mark.parametrize(("wrap", "field"), [(["data"], "data"), (["result", "rows"], "result.rows")])
def test_rows_in_an_object_are_hinted_at_and_read_by_their_field(tmp_path: Path, wrap: list[str], field: str) -> None:
    content: object = rows_of(3)
    for key in reversed(wrap):
        content = {"version": [1, {"n": 2}], key: content, "after": "x"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content, indent=1))
    with pytest.raises(InputError, match=rf"set dataset\.field={field}"):
        read(path)
    assert questions(path, field=field) == ["q0", "q1", "q2"]
    config = DatasetConfig(path=str(path), field=field)
    layout = scan_layout(config)
    [written] = write_records(
        read_records(config, on_quarantine=print, layout=layout), str(tmp_path / "out.json"), layout=layout
    )
    assert questions(written, field=field) == ["q0", "q1", "q2"]
    with pytest.raises(InputError, match=r"no key 'nope'"):
        read(path, field="nope")


def test_an_object_of_columns_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"question": {"0": "x", "1": "y"}, "answer": {"0": "a", "1": "b"}}))
    with pytest.raises(InputError, match="orient='records'"):
        read(tmp_path / "a.json")


def test_lines_stay_lines_where_the_first_one_is_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    rows = [{"instruction": "q" * size, "output": "a"} for size in (1 << 20, 1)]
    jsonl(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.json").write_text(json.dumps({"data": rows}))
    assert scan_layout(DatasetConfig(path=str(tmp_path / "a.jsonl"))).format == "jsonl"
    with pytest.raises(InputError, match=r"set dataset\.field=data"):
        scan_layout(DatasetConfig(path=str(tmp_path / "b.json")))


@pytest.mark.parametrize(
    "first", ['{"question": "cut', '{"question": "q", "answer', '{"question": "q", "answer": "a"};']
)
def test_lines_stay_lines_where_the_first_one_is_broken(tmp_path: Path, first: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows_of(3))
    path.write_text(f"{first}\n{path.read_text()}")
    assert scan_layout(DatasetConfig(path=str(path))).format == "jsonl"
    table, bad = read(path)
    assert (table.num_rows, [(row.line, row.reason) for row in bad]) == (3, [(1, "invalid JSON")])


@pytest.mark.parametrize("text", ['{"data": [\n{}\n]}', '{\n"data": [{}]}', '{"data":\n{"x": []}}'])
def test_one_object_over_lines_is_no_lines(text: str) -> None:
    assert format_of_head(text.encode(), "jsonl") == "json"


@pytest.mark.parametrize(
    "error",
    [
        OSError("When reading x: AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 7"),
        OSError(errno.EIO, "Input/output error"),
    ],
)
def test_a_store_that_cannot_be_read_is_not_called_a_damaged_file(error: OSError) -> None:
    file = SourceFile(filesystem=pa.fs.LocalFileSystem(), path="x", label="s3://b/x.jsonl", format="jsonl")
    said = f"s3://b/x.jsonl cannot be read as jsonl: {error}; run the same command again once it can be read"
    assert str(file.damaged(error)) == said


def test_two_tables_that_an_id_joins_are_told(tmp_path: Path) -> None:
    (tmp_path / "question.csv").write_text("question_id,content\n1,how\n")
    (tmp_path / "answer.csv").write_text("ans_id,question_id,content\n7,1,so\n")
    with pytest.raises(InputError, match="'question_id' seems to point to the rows of another table"):
        read(tmp_path)


# compressed and foreign files


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
def test_compressed_files_of_several_members_are_read(tmp_path: Path, suffix: str, compress: object) -> None:
    assert callable(compress)
    parts = [json.dumps(row).encode() + b"\n" for row in rows_of(4)]
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(compress(b"".join(parts[:2])) + compress(b"".join(parts[2:])))
    assert questions(path) == ["q0", "q1", "q2", "q3"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(InputError, match="cannot be read as jsonl: it is cut short"):
        read(path)
    path.write_bytes(whole + b"\0" * 512 + compress(b"") + compress(parts[0]) + b"\0" * 300_000)
    assert questions(path) == ["q0", "q1", "q2", "q3", "q0"]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".lz4"])
def test_what_follows_a_compressed_stream_and_is_none_is_told(tmp_path: Path, suffix: str) -> None:
    whole = compressed("".join(json.dumps(row) + "\n" for row in rows_of(4)).encode(), suffix)
    path = tmp_path / f"a.jsonl{suffix}"
    for more in (b"<html>503</html>", whole[:8] + b"\xff" * 40, b"\0" * 8 + b"rows, once"):
        path.write_bytes(whole + more + whole)
        with pytest.raises(InputError, match=rf"a\.jsonl\{suffix} cannot be read as jsonl: it is damaged"):
            read(path)


def compressed(data: bytes, suffix: str) -> bytes:
    if suffix == ".xz":
        return lzma.compress(data)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, COMPRESSIONS[suffix]) as stream:
        stream.write(data)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.bz2", ".jsonl.zst", ".jsonl.xz", ".ndjson.lz4"])
def test_an_output_named_as_compressed_is_compressed(tmp_path: Path, suffix: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows_of(3))
    layout = scan_layout(DatasetConfig(path=str(path)))
    table, _ = read(path)
    [written] = write_records([table], f"{tmp_path}/out{suffix}", layout=layout)
    assert written == f"{tmp_path}/out{suffix}"
    assert b"question" not in Path(written).read_bytes()[:12]
    assert questions(written) == ["q0", "q1", "q2"]
    with pytest.raises(InputError, match="rows keep the format"):
        write_records([table], f"{tmp_path}/out.csv.gz", layout=layout)


def test_files_that_are_something_else_are_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "packed.jsonl").write_bytes(gzip.compress(b'{"question": "q", "answer": "a"}'))
    with pytest.raises(InputError, match=r"is compressed \(gzip\).*rename it to end in \.jsonl\.gz"):
        read(tmp_path / "packed.jsonl")
    for name in ("book.jsonl", "book.xlsx"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("xl/workbook.xml", "x")
        with pytest.raises(InputError, match="an Excel workbook; save the sheet as CSV"):
            read(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        archive.writestr("a.jsonl", "{}")
    with pytest.raises(InputError, match="a zip archive; unpack it"):
        read(tmp_path / "rows.zip")
    pq.write_table(pa.Table.from_pylist(rows_of(2)), tmp_path / "table.jsonl")
    with pytest.raises(InputError, match=r"dataset\.format=parquet"):
        read(tmp_path / "table.jsonl")
    (tmp_path / "page.json").write_text("<!DOCTYPE html><html>sign in</html>")
    with pytest.raises(InputError, match="a web page"):
        read(tmp_path / "page.json")


# the hub


def test_a_dataset_of_the_hub_is_read_from_its_cache_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_folder.cache_clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    revision = "c" * 40
    repository = tmp_path / "datasets--org--name"
    jsonl(repository / "snapshots" / revision / "data" / "train-00000.jsonl", rows_of(3))
    jsonl(repository / "snapshots" / revision / "data" / "test-00000.jsonl", rows_of(1, 9))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    with pytest.raises(InputError, match=r"several splits \(test, train\)"):
        read("hf://datasets/org/name")
    assert questions("hf://datasets/org/name", split="train") == ["q0", "q1", "q2"]
    assert questions("org/name", split="test") == ["q9"]
    assert questions("hf://datasets/org/name/data/train-*.jsonl") == ["q0", "q1", "q2"]
    with pytest.raises(
        InputError, match=r"hub did not give.*HF_HUB_OFFLINE.*hf download --repo-type dataset org/other"
    ):
        read("hf://datasets/org/other")
