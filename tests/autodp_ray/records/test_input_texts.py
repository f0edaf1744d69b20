"""Reading files as people write them: encodings, delimiters, broken quotes and JSON, and what an error may say."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from operators.contract.errors import InputError
from tests.autodp_ray.records.input_rows import questions, read

CHINESE = [
    (f"第{n}个问题：高血压患者日常饮食应该注意什么？", f"回答{n}：应当少盐少油，多吃蔬菜，按时服药。")
    for n in range(40)
]


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


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("请用英语解释高血压患者能不能吃这种药", "gb18030"),
        ("Say this number in words: 数", "gb18030"),
        ("請問這個藥可以和感冒藥一起吃嗎", "big5"),
        ("この薬は食後に飲んでください", "cp932"),
        ("이 약은 식후에 드세요", "cp949"),
        ("Qu'est-ce que la fièvre élevée à l'âge adulte", "cp1252"),
        ("Ärzte müssen größere Übersicht haben", "cp1252"),
        ("It’s a “quoted” text – with dashes", "cp1252"),
        ("Źródło gorączki może być różne", "cp1250"),
        ("Ateş yüksekse çocuğun ağrısı için ne yapmalı", "cp1254"),
        ("Что делать при высокой температуре", "koi8_r"),
        ("Τι είναι ο πυρετός και πώς αντιμετωπίζεται", "cp1253"),
        ("ماذا تفعل عند ارتفاع الحرارة", "cp1256"),
    ],
)
def test_the_encoding_of_a_file_is_among_those_that_it_is_said_to_be_in(
    tmp_path: Path, text: str, encoding: str
) -> None:
    (tmp_path / "a.csv").write_bytes(("question,answer\n" + f"{text},yes\n" * 30).encode(encoding))
    with pytest.raises(InputError, match=r"(looks like|may be) ") as caught:
        read(tmp_path / "a.csv")
    assert encoding in str(caught.value)


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


def test_a_delimiter_explains_more_rows_than_a_comma_in_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('question;answer;"from, to"\n"q;1";"a";"x"\n"q2";"a";"x"\n')
    assert questions(tmp_path / "a.csv") == ["q;1", "q2"]


def test_a_file_of_names_alone_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question;answer\nq;a\n")
    (tmp_path / "b.csv").write_text("question;answer")  # without the end of its line
    assert scan_layout(DatasetConfig(path=str(tmp_path))).order == ("question", "answer")


def test_names_of_columns_may_be_of_any_length_and_hold_what_cells_hold(tmp_path: Path) -> None:
    names = ["question", "answer", "x" * 200_000, 'the "id"', "a,b\nc", "", " "]
    cells = ",".join('"' + name.replace('"', '""') + '"' for name in names[2:])
    (tmp_path / "a.csv").write_text(f"question,answer,{cells}\nq,a,1,2,3,4,5\n")
    assert scan_layout(DatasetConfig(path=str(tmp_path / "a.csv"))).order == tuple(names)


def test_a_byte_order_mark_behind_the_header_belongs_to_the_cell_that_it_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    for text, expected in (
        ("\ufeffa,b\n", ["\ufeffa"]),
        ("a,b\n\ufeffc,d\n", ["a", "\ufeffc"]),
        ("\ufeff,b\n", ["\ufeff"]),
    ):
        path.write_text(f"\ufeffquestion,answer\n{text}", encoding="utf-8")
        [table] = read_records(DatasetConfig(path=str(path)), on_quarantine=lambda bad: pytest.fail(bad.reason))
        assert table["question"].to_pylist() == expected


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
        ('{"question": "x", "answer": "a", "n": [{"m": -1e400}]}', "a number larger than 64-bit floating point holds"),
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
