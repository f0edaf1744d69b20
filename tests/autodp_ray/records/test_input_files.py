"""Reading files as people have them: encodings, delimiters, broken quotes, folders, foreign files, the hub's cache."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import time
import zipfile
from pathlib import Path

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_all
from autodp_ray.records.files.hub_datasets import hub_folder
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from operators.contract.errors import InputError

CHINESE = [
    (f"第{n}个问题：高血压患者日常饮食应该注意什么？", f"回答{n}：应当少盐少油，多吃蔬菜，按时服药。")
    for n in range(40)
]


def read(path: Path | str, **settings: object) -> tuple[pa.Table, list[BadRow]]:
    bad: list[BadRow] = []
    tables = list(read_records(DatasetConfig(path=str(path), **settings), on_quarantine=bad.append))
    return pa.concat_tables(tables), bad


def questions(path: Path | str, **settings: object) -> list[str]:
    found: list[str] = read(path, **settings)[0]["question"].to_pylist()
    return found


def rows_of(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"question": f"q{n}", "answer": f"a{n}"} for n in range(start, start + count)]


def jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def save_to_disk(folder: Path, rows: list[dict[str, str]]) -> None:
    """What `datasets.Dataset.save_to_disk` writes, and a cache file of `map` beside it."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    for name in ("data-00000-of-00001.arrow", "cache-0123456789abcdef.arrow"):
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}, "citation": ""}))


# encodings and delimiters


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-16-le", "cp932"])
def test_a_file_in_another_encoding_is_read_where_the_config_names_it(tmp_path: Path, encoding: str) -> None:
    text = "question,answer\n" + "".join(f'"{q}","{a}"\n' for q, a in [("問題一", "回答一"), ("問題二", "回答\n二")])
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    table, bad = read(tmp_path / "a.csv", encoding=encoding)
    assert table["question"].to_pylist() == ["問題一", "問題二"]
    assert table["answer"].to_pylist() == ["回答一", "回答\n二"]
    assert bad == []


def test_a_gb18030_file_is_refused_with_its_encoding_as_a_hint_and_then_read(tmp_path: Path) -> None:
    text = "question,answer\n" + "".join(f"{q},{a}\n" for q, a in CHINESE)
    (tmp_path / "a.csv").write_bytes(text.encode("gb18030"))
    with pytest.raises(InputError, match=r"a\.csv is not UTF-8; .*set dataset\.encoding=gb18030") as caught:
        read(tmp_path / "a.csv")
    assert "高血压" not in str(caught.value)
    assert questions(tmp_path / "a.csv", encoding="gb18030") == [q for q, _ in CHINESE]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    texts = {
        "a.csv": "question,answer\n问,答\n",
        "a.jsonl": '{"question": "问", "answer": "答"}\n',
        "a.json": '[{"question": "问", "answer": "答"}]',
    }
    (tmp_path / name).write_bytes(texts[name].encode(encoding))
    assert questions(tmp_path / name) == ["问"]


def test_utf_16_without_a_mark_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("question,answer\nhow,so\n".encode("utf-16-be"))
    with pytest.raises(InputError, match=r"dataset\.encoding=utf-16-be"):
        read(tmp_path / "a.csv")


def test_bytes_that_an_encoding_does_not_know_cost_their_row_alone(tmp_path: Path) -> None:
    lines = ["question,answer", *(f"{q},{a}" for q, a in CHINESE[:3])]
    content = [line.encode("gb18030") for line in lines]
    content.insert(2, b"bad \xff\xff row,x")
    (tmp_path / "a.csv").write_bytes(b"\n".join(content))
    table, bad = read(tmp_path / "a.csv", encoding="gb18030")
    assert table.num_rows == 3
    assert [(row.line, row.reason) for row in bad] == [(3, "invalid gb18030")]


def test_an_encoding_or_delimiter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no text encoding 'klingon'"):
        DatasetConfig(path="x", encoding="klingon")
    with pytest.raises(ValueError, match="no text encoding 'hex'"):
        DatasetConfig(path="x", encoding="hex")
    with pytest.raises(ValueError, match="one ASCII character"):
        DatasetConfig(path="x", delimiter="||")


@pytest.mark.parametrize("delimiter", ["\t", ";", "|", ",", "^"])
def test_a_delimiter_is_found_or_named_and_written_again(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    source = f'question{delimiter}answer\n"a{delimiter}b"{delimiter}"one, two"\nc{delimiter}x\n'
    path.write_text(source)
    config = DatasetConfig(path=str(path), delimiter=delimiter if delimiter == "^" else "auto")
    layout = scan_layout(config)
    tables = list(read_records(config, on_quarantine=print, layout=layout))
    assert tables[0]["question"].to_pylist() == [f"a{delimiter}b", "c"]
    [written] = write_records(tables, str(tmp_path / "out.csv"), layout=layout)
    again = DatasetConfig(path=written, delimiter=config.delimiter)
    assert scan_layout(again).delimiter == delimiter
    assert questions(written, delimiter=config.delimiter) == [f"a{delimiter}b", "c"]


def test_a_tsv_and_the_line_that_excel_puts_first_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("question\tanswer\nq, r\ta\n")
    assert questions(tmp_path / "a.tsv") == ["q, r"]
    (tmp_path / "b.csv").write_text("sep=;\r\nquestion;answer\r\nq;a\r\n")
    assert questions(tmp_path / "b.csv") == ["q"]


# every row is accounted for


@pytest.mark.parametrize("quoted", [True, False])
def test_a_quote_that_is_never_closed_costs_its_own_row_and_no_other(tmp_path: Path, quoted: bool) -> None:
    lines = [f'q{n},"a{n}"' if quoted else f"q{n},a{n}" for n in range(130)]
    lines[40] = 'q40,"a40'
    (tmp_path / "a.csv").write_text("question,answer\n" + "\n".join(lines) + "\n")
    table, bad = read(tmp_path / "a.csv")
    assert table["question"].to_pylist() == [f"q{n}" for n in range(130) if n != 40]
    assert [(row.line, row.reason) for row in bad] == [(42, "a quote that is not closed, or is closed inside a cell")]
    assert bad[0].raw == 'q40,"a40'


def test_a_quote_that_was_not_doubled_costs_its_own_row_and_no_other(tmp_path: Path) -> None:
    rows = ['"He said "hi" to me",a', "plain,b", '"over\nlines "and" so\non",c', "q,d", '5" pipe,e', '"say ""x""",f']
    (tmp_path / "a.csv").write_text("question,answer\n" + "\n".join(rows))
    table, bad = read(tmp_path / "a.csv")
    assert table["question"].to_pylist() == ["plain", "q", '5" pipe', 'say "x"']
    assert [row.line for row in bad] == [2, 4, 6]


def test_lone_carriage_returns_end_rows_and_trailing_commas_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"question,answer\rq1,a1\rq2,a2,\r\rq3,a3")
    table, bad = read(tmp_path / "a.csv")
    assert table["question"].to_pylist() == ["q1", "q3"]
    assert [(row.line, row.reason) for row in bad] == [(3, "a row with another number of cells than the header")]


def test_empty_quoted_cells_stay_apart_from_missing_ones_beside_a_broken_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question,answer,note\nq,a,""\nr,b,\nx,y\n')
    table, bad = read(tmp_path / "a.csv")
    assert table["note"].to_pylist() == ["", None]
    assert len(bad) == 1


@pytest.mark.parametrize(
    "text",
    [
        '[{"question": "q0", "answer": "a"}, {"question": "q1", "answer": "a"}]\n[{"question": "q2", "answer": "a"}]',
        '[{"question": "q0", "answer": "a"},\n{"question": "q1", "answer": "a"}\n[{"question": "q2", "answer": "a"}]',
        '{"question": "q0", "answer": "a"}{"question": "q1", "answer": "a"}\n{"question": "q2", "answer": "a"}',
        '{"question": "q0", "answer": "a"},\n{\n  "question": "q1",\n  "answer": "a"\n}\n'
        '{"question": "q2", "answer": "a"}',
        '{"question": "q0", "answer": "a"}\n[{"question": "q1", "answer": "a"},{"question": "q2", "answer": "a"}]',
        '{"question": "q0", "answer": "a"}\n\ufeff{"question": "q1", "answer": "a"}\n{"question": "q2", "answer": "a"}',
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_objects_are_read_however_they_stand_beside_each_other(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    table, bad = read(tmp_path / name)
    assert table["question"].to_pylist() == ["q0", "q1", "q2"]
    assert bad == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"question": "x", "question": "y", "answer": "a"}', "a key twice in one object"),
        ('{"question": "\\ud83d", "answer": "a"}', "half of a surrogate pair, which is no Unicode"),
        ('{"\\ud83d": 1, "question": "x", "answer": "a"}', "half of a surrogate pair, which is no Unicode"),
        ('{"question": "x", "answer": "a", "deep": ' + "[" * 900 + "]" * 900 + "}", "nested more than 200 deep"),
        ('{"question": "x", "answer": "a", "deep": ' + "[" * 10000 + "]" * 10000 + "}", "nested more than 200 deep"),
        ('{"question": "x", "answer": "a", "n": ' + "9" * 5000 + "}", "invalid JSON"),
        ('{"question": "x", /* why */ "answer": "a"}', "invalid JSON"),
        ('{"question": "x", "answer": "a",}', "invalid JSON"),
        ("{'question': 'x', 'answer': 'a'}", "invalid JSON"),
        ('{"question": "x", "answer": "a"} and more', "invalid JSON"),
        ('{"question": "x, "answer": "a"}', "invalid JSON"),
    ],
)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_row_that_json_alone_would_change_or_refuse_costs_only_itself(
    tmp_path: Path, form: str, row: str, reason: str
) -> None:
    good = ['{"question": "q0", "answer": "a"}', '{"question": "q1", "answer": "a"}']
    text = "\n".join([good[0], row, good[1]]) if form == "lines" else f"[{good[0]},\n{row},\n{good[1]}]"
    (tmp_path / "a.json").write_text(text)
    table, bad = read(tmp_path / "a.json")
    is_read = form == "array" and "more" in row  # in an array what stands behind an object is broken by itself
    assert table["question"].to_pylist() == (["q0", "x", "q1"] if is_read else ["q0", "q1"])
    assert [(each.line, each.reason) for each in bad] == [(2, reason)]


def test_nesting_that_no_arrow_type_carries_travels_as_text(tmp_path: Path) -> None:
    deep = json.loads("[" * 150 + "1" + "]" * 150)
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "q", "answer": "a", "deep": deep}))
    config = DatasetConfig(path=str(tmp_path / "a.jsonl"))
    layout = scan_layout(config)
    tables = list(read_records(config, on_quarantine=print, layout=layout))
    [written] = write_records(tables, str(tmp_path / "out.jsonl"), layout=layout)
    assert json.loads(Path(written).read_text())["deep"] == deep


@pytest.mark.parametrize("kind", ["text", "list", "struct"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_text_in_a_table_that_is_no_utf_8_costs_its_row(tmp_path: Path, suffix: str, kind: str) -> None:
    texts = pa.array([b"x", b"\xff\xfe", b"y"], pa.binary())
    broken = pa.StringArray.from_buffers(3, texts.buffers()[1], texts.buffers()[2])
    column = {
        "text": broken,
        "list": pa.ListArray.from_arrays([0, 1, 2, 3], broken),
        "struct": pa.StructArray.from_arrays([broken], ["x"]),
    }[kind]
    table = pa.table({"question": ["q0", "q1", "q2"], "answer": ["a", "b", "c"], "note": column})
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    read_back, bad = read(path)
    assert read_back["question"].to_pylist() == ["q0", "q2"]
    assert [(row.line, row.reason) for row in bad] == [(2, "invalid UTF-8")]


def test_the_limit_holds_where_several_rows_share_a_line(tmp_path: Path) -> None:
    row = '{"question": "q", "answer": "a"}'
    (tmp_path / "a.jsonl").write_text(row * 5 + "\n" + row)
    assert read(tmp_path / "a.jsonl", limit=3)[0].num_rows == 3


def test_a_csv_of_thousands_of_columns_is_read_in_a_moment(tmp_path: Path) -> None:
    names = ["question", "answer", *(f"c{n}" for n in range(4000))]
    (tmp_path / "a.csv").write_text("\n".join([",".join(names), *[",".join(["x"] * len(names))] * 2]))
    config = DatasetConfig(path=str(tmp_path / "a.csv"))
    start = time.process_time()
    layout = scan_layout(config)
    tables = list(read_records(config, on_quarantine=print, layout=layout))
    write_records(tables, str(tmp_path / "out.csv"), layout=layout)
    assert sum(table.num_rows for table in tables) == 2
    assert time.process_time() - start < 6


# folders


def test_hidden_folders_and_caches_are_left_out_and_said(tmp_path: Path) -> None:
    jsonl(tmp_path / "d" / "a.jsonl", rows_of(2))
    jsonl(tmp_path / "d" / ".ipynb_checkpoints" / "a-checkpoint.jsonl", rows_of(2))
    jsonl(tmp_path / "d" / "__MACOSX" / "a.jsonl", rows_of(2))
    (tmp_path / "d" / "sheet.xlsx").write_bytes(b"PK\x03\x04")
    assert read(tmp_path / "d")[0].num_rows == 2
    assert read(f"{tmp_path}/d/**/*.jsonl")[0].num_rows == 2
    assert read(tmp_path / "d" / ".ipynb_checkpoints")[0].num_rows == 2
    left_out = "; ".join(find_all(DatasetConfig(path=str(tmp_path / "d"))).left_out)
    assert "2 hidden files" in left_out
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
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "plain.json").write_text(json.dumps([{"instruction": "i", "input": "j", "output": "o"}]))
    (tmp_path / "named.jsonl").write_text(json.dumps({"ask": "q", "about": "c", "reply": "a"}))
    turns = [{"role": "pupil", "content": "how"}, {"role": "teacher", "content": "so"}]
    (tmp_path / "turns.jsonl").write_text(json.dumps({"messages": turns}))
    with pytest.raises(InputError, match=r"3 datasets \(plain, named, turns\); choose one with dataset\.name"):
        read(tmp_path)
    assert read(tmp_path, name="plain")[0]["answer"].to_pylist() == ["o"]
    table = read(tmp_path, name="named")[0]
    assert (table["question"].to_pylist(), table["answer"].to_pylist()) == (["q\nc"], ["a"])
    table = read(tmp_path, name="turns")[0]
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
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read as jsonl: it is"):
        read(path)


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


CANARY = "Why does the zqcanary sing?"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", f"{CANARY},{CANARY}\n{CANARY},x\n"),
        ("b.csv", f"{CANARY},because\nWhat is it?,an answer\n"),
        ("c.csv", f'question,answer\n"{CANARY},x\n'),
        ("d.csv", f'"{CANARY}\n'),
        ("e.csv", f"id,question,answer\n{CANARY},q,a\n{CANARY},r,b\n"),
        ("f.jsonl", f'{{"{CANARY}": "{CANARY}"}}\n'),
        ("g.jsonl", f"{CANARY}\n"),
        ("h.jsonl", f'{{"question": ["{CANARY}"], "answer": {{"{CANARY}": 1}}}}\n'),
        ("i.json", f'{{"{CANARY}": [{{"x": "{CANARY}"}}]}}'),
        ("j.json", f'[{{"messages": [{{"role": "{CANARY}", "content": "{CANARY}"}}]}}]'),
        ("k.json", f'[["{CANARY}"]]'),
        ("l.parquet", CANARY),
        ("m.arrow", f"ARROW1\0\0{CANARY}"),
        ("n.jsonl.gz", CANARY),
        ("o.txt", CANARY),
        ("p.csv", f"question\tanswer\n{CANARY}\n"),
    ],
)
def test_no_error_of_reading_quotes_what_a_file_holds(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    with pytest.raises(InputError) as caught:
        read(tmp_path / name)
    assert "zqcanary" not in str(caught.value)


def test_a_csv_without_a_header_shows_no_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("canary,zebra\nwhat,that\n")
    for settings in ({}, {"columns": ColumnNames(question="ask")}):
        with pytest.raises(InputError, match="begin with a line of column names") as caught:
            read(tmp_path / "a.csv", **settings)
        assert "canary" not in str(caught.value)
        assert "zebra" not in str(caught.value)
