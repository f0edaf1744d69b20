"""Every form in every format: what is read and written comes back as it was."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout
from operators.contract.errors import InputError

FORMATS = ("jsonl", "json", "parquet", "arrow", "csv")

ALPACA = {
    "instruction": pa.string(),
    "input": pa.string(),
    "output": pa.string(),
    "history": pa.list_(pa.list_(pa.string())),
    "system": pa.string(),
    "score": pa.float64(),
}
SHAREGPT = {
    "conversations": pa.list_(pa.struct({"from": pa.string(), "value": pa.string()})),
    "system": pa.string(),
    "source": pa.string(),
}
CHAT = {
    "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
    "meta": pa.struct({"page": pa.int64(), "tags": pa.list_(pa.string())}),
}
COLUMNS = {
    "frage": pa.string(),
    "antwort": pa.string(),
    "verlauf": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
    "origin": pa.string(),
    "count": pa.int64(),
}
SCHEMAS = {"alpaca": ALPACA, "sharegpt": SHAREGPT, "chat": CHAT, "columns": COLUMNS}
NAMED = ColumnNames(question="frage", answer="antwort", history="verlauf")

filled = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), min_size=1, max_size=12).filter(
    lambda text: text.strip() and text.strip() not in ("无", "N/A", "null")
)
cell = st.one_of(filled, st.sampled_from(["无", " N/A ", "a\nb", 'say "hi", you']), st.none())
optional = st.one_of(cell, st.just(""))


def turn_list(role_key: str, content_key: str, user: str, assistant: str) -> st.SearchStrategy[list[dict[str, str]]]:
    def turn(role: str, content: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
        return st.fixed_dictionaries({role_key: st.just(role), content_key: content})

    prompt = st.lists(turn("system", filled), max_size=1)
    earlier = st.lists(st.tuples(turn(user, filled), turn(assistant, filled)), max_size=2)
    last = st.one_of(
        st.tuples(turn(user, filled), turn(assistant, st.one_of(filled, st.sampled_from(["", "无"])))),
        st.tuples(turn(user, st.just("")), turn(assistant, filled)),
        st.tuples(turn(user, filled)),
    )
    return st.builds(
        lambda head, pairs, end: [*head, *(t for pair in pairs for t in pair), *end], prompt, earlier, last
    )


pairs = st.lists(st.lists(filled, min_size=2, max_size=2), max_size=2)
ROWS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "alpaca": st.fixed_dictionaries(
        {
            "instruction": cell,
            "input": optional,
            "output": filled,
            "history": st.one_of(st.none(), pairs),
            "system": optional,
            "score": st.one_of(st.none(), st.floats(-5, 5)),
        }
    ),
    "sharegpt": st.fixed_dictionaries(
        {"conversations": turn_list("from", "value", "human", "gpt"), "system": cell, "source": cell}
    ),
    "chat": st.fixed_dictionaries(
        {
            "messages": turn_list("role", "content", "user", "assistant"),
            "meta": st.fixed_dictionaries({"page": st.integers(0, 9), "tags": st.lists(filled, max_size=2)}),
        }
    ),
    "columns": st.fixed_dictionaries(
        {
            "frage": filled,
            "antwort": cell,
            "verlauf": turn_list("role", "content", "user", "assistant"),
            "origin": cell,
            "count": st.integers(-(2**40), 2**40),
        }
    ),
}


def put(folder: Path, form: str, format_name: str, rows: list[dict[str, Any]]) -> Path:
    """Write raw rows by other means than the code under test."""
    path = folder / f"in.{format_name}"
    if format_name == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif format_name == "json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    elif format_name == "csv":
        table = pa.table({key: pa.array([_csv_cell(row[key]) for row in rows], pa.string()) for key in rows[0]})
        pacsv.write_csv(table, path)
    else:
        table = pa.Table.from_pylist(rows, schema=pa.schema(SCHEMAS[form]))
        if format_name == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
    return path


def _csv_cell(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def raw(path: Path | str) -> list[dict[str, Any]]:
    """The rows of a file, again by other means."""
    data = Path(path).read_bytes()
    match Path(path).suffix:
        case ".jsonl":
            return [json.loads(line) for line in data.decode().split("\n") if line]
        case ".json":
            return list(json.loads(data))
        case ".csv":
            return list(pacsv.read_csv(io.BytesIO(data), **_CSV).to_pylist())
        case ".parquet":
            return list(pq.read_table(io.BytesIO(data)).to_pylist())
        case _:
            return list(pa.ipc.open_file(data).read_all().to_pylist())


_NAMES = sorted({name for schema in SCHEMAS.values() for name in schema})
_CSV = {
    "parse_options": pacsv.ParseOptions(newlines_in_values=True),
    "convert_options": pacsv.ConvertOptions(
        column_types=dict.fromkeys(_NAMES, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    ),
}


def config_for(path: Path | str, form: str, **more: object) -> DatasetConfig:
    return DatasetConfig(path=str(path), columns=NAMED if form == "columns" else ColumnNames(), **more)


def read(config: DatasetConfig) -> tuple[Layout, pa.Table, list[BadRow]]:
    bad: list[BadRow] = []
    layout = scan_layout(config)
    tables = list(read_records(config, on_quarantine=bad.append, layout=layout))
    return layout, pa.concat_tables(tables), bad


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("form", SCHEMAS)
@settings(max_examples=6)
@given(data=st.data())
def test_unchanged_rows_come_back_exactly_and_read_the_same_again(
    form: str, format_name: str, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(ROWS[form], min_size=1, max_size=6))
    with TemporaryDirectory() as folder:
        path = put(Path(folder), form, format_name, rows)
        before = raw(path)
        layout, table, bad = read(config_for(path, form))
        assert bad == []
        assert layout.form == form
        [written] = write_records([table], f"{folder}/out.{format_name}", layout=layout)
        assert raw(written) == before
        layout_again, table_again, _ = read(config_for(written, form))
        assert table_again.equals(table)
        assert layout_again == layout


@pytest.mark.parametrize("form", SCHEMAS)
@settings(max_examples=12)
@given(data=st.data())
def test_rows_that_leave_keys_out_come_back_without_them(form: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(ROWS[form], min_size=1, max_size=6))
    optional_keys = [key for key in SCHEMAS[form] if key in ("input", "history", "system", "score", "source", "meta")]
    for row in rows:
        for key in data.draw(st.sets(st.sampled_from(optional_keys))) if optional_keys else ():
            del row[key]
    with TemporaryDirectory() as folder:
        path = put(Path(folder), form, "jsonl", rows)
        layout, table, bad = read(config_for(path, form))
        assert bad == []
        [written] = write_records([table], f"{folder}/out.jsonl", layout=layout)
        assert raw(written) == rows


odd_values = st.recursive(
    st.one_of(cell, st.just(""), st.integers(), st.booleans(), st.sampled_from(["[]", "[1", "\ud800", "system"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["from", "value", "role", "content", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)
odd_turns = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "human"]), "content": st.one_of(cell, filled)}
    ),
    max_size=4,
)


@pytest.mark.parametrize("form", SCHEMAS)
@settings(max_examples=15)
@given(data=st.data())
def test_no_row_crashes_the_reader_or_vanishes_and_what_is_read_comes_back(form: str, data: st.DataObject) -> None:
    keys = st.sampled_from([*SCHEMAS[form], "id", "extra", "question", "history"])
    odd = data.draw(st.lists(st.dictionaries(keys, st.one_of(odd_values, odd_turns), max_size=5), max_size=5))
    sound = data.draw(ROWS[form].filter(_is_complete))
    rows = [*[sound] * (len(odd) + 1), *odd]  # what most rows are decides what can be read
    with TemporaryDirectory() as folder:
        path = put(Path(folder), form, "jsonl", rows)
        layout, table, bad = read(config_for(path, form, ids="make"))
        assert table.num_rows + len(bad) == len(rows)
        [written] = write_records([table], f"{folder}/out.jsonl", layout=layout)
        bad_lines = {row.line for row in bad}
        assert raw(written) == [row for line, row in enumerate(rows, 1) if line not in bad_lines]


def _is_complete(row: dict[str, object]) -> bool:
    """Not the one row of its dataset with neither question nor answer."""
    turns = row.get("messages") or row.get("conversations")
    if isinstance(turns, list):
        return len(turns) > 1 and turns[-1].get("role", turns[-1].get("from")) in ("assistant", "gpt")
    return True


def lines(folder: Path, *rows: object) -> Path:
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rewritten(table: pa.Table, **columns: list[object]) -> pa.Table:
    for name, values in columns.items():
        position = table.column_names.index(name)
        table = table.set_column(position, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table


def test_a_rewritten_alpaca_question_keeps_its_input_where_it_still_ends_with_it(tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        {"instruction": "Translate", "input": "chat", "output": "cat"},
        {"instruction": "Add", "input": "1 2", "output": "3"},
    )
    layout, table, _ = read(config_for(path, "alpaca"))
    assert table["question"].to_pylist() == ["Translate\nchat", "Add\n1 2"]
    changed = rewritten(table, question=["Translate from French\nchat", "What is 1 + 2?"])
    [written] = write_records([changed], str(tmp_path / "out.jsonl"), layout=layout)
    assert raw(written) == [
        {"instruction": "Translate from French", "input": "chat", "output": "cat"},
        {"instruction": "What is 1 + 2?", "input": "", "output": "3"},
    ]


def test_a_generated_answer_takes_the_place_of_its_sentinel_in_every_form(tmp_path: Path) -> None:
    path = lines(tmp_path, {"question": "a?", "answer": "A"}, {"question": "b?", "answer": "无", "k": 1})
    layout, table, _ = read(config_for(path, "alpaca"))
    assert table["answer"].to_pylist() == ["A", None]
    [written] = write_records([rewritten(table, answer=["A", "B"])], str(tmp_path / "out.jsonl"), layout=layout)
    assert raw(written) == [{"question": "a?", "answer": "A"}, {"question": "b?", "answer": "B", "k": 1}]


def test_a_changed_conversation_keeps_all_turns_and_their_further_keys(tmp_path: Path) -> None:
    turns: list[dict[str, object]] = [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "Hi", "weight": 0},
        {"from": "gpt", "value": "Hello", "weight": 1},
        {"from": "human", "value": "Bye", "weight": 0},
        {"from": "gpt", "value": "", "weight": 1},
    ]
    layout, table, _ = read(config_for(lines(tmp_path, {"conversations": turns}), "sharegpt"))
    assert table["history"].to_pylist()[0][0] == {"role": "system", "content": "Be kind.", "extra": None}
    [written] = write_records([rewritten(table, answer=["See you"])], str(tmp_path / "out.jsonl"), layout=layout)
    assert raw(written) == [{"conversations": [*turns[:-1], {**turns[-1], "value": "See you"}]}]


def test_a_generated_row_is_spelled_like_its_dataset(tmp_path: Path) -> None:
    path = lines(tmp_path, {"id": 7, "conversations": [{"from": "user", "value": "q"}, {"from": "gpt", "value": "a"}]})
    layout, table, _ = read(config_for(path, "sharegpt"))
    generated = rewritten(table, id=["f00"], question=["new?"], answer=["new!"], origin=["generated"])
    [written] = write_records([generated], str(tmp_path / "out.jsonl"), layout=layout)
    [row] = raw(written)
    assert isinstance(row.pop("id"), int)
    assert row == {"conversations": [{"from": "user", "value": "new?"}, {"from": "gpt", "value": "new!"}]}


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ([["q", "a"]], [["new?", "new!"]]),
        ([{"human": "q", "assistant": "a"}], [{"human": "new?", "assistant": "new!"}]),
        ([{"system": "s", "input": "q", "output": "a"}], [{"system": "s", "input": "new?", "output": "new!"}]),
        ([{"input": "q", "output": ""}], [{"input": "new?", "output": "new!"}]),
    ],
)
def test_a_generated_row_has_its_pairs_in_the_spelling_of_its_dataset(
    tmp_path: Path, spelled: list[object], expected: list[object]
) -> None:
    layout, table, _ = read(config_for(lines(tmp_path, {"conversation": spelled}), "sharegpt"))
    generated = rewritten(table, question=["new?"], answer=["new!"], origin=["generated"], _residue=[None])
    unanswered = rewritten(generated, answer=[None])
    for changed in (generated, unanswered):
        [written] = write_records([changed], str(tmp_path / "out.jsonl"), layout=layout)
        again = read(config_for(Path(written), "sharegpt"))[1]
        for column in ("history", "question", "answer"):
            assert again[column].to_pylist() == changed[column].to_pylist()
    [written] = write_records([generated], str(tmp_path / "out.jsonl"), layout=layout)
    assert raw(written) == [{"conversation": expected}]


def test_an_unknown_form_names_what_was_found_and_what_is_accepted(tmp_path: Path) -> None:
    path = lines(tmp_path, {"titel": "x", "text": "y"})
    with pytest.raises(InputError, match=r"titel, text.*alpaca.*sharegpt.*chat.*dataset\.columns"):
        scan_layout(config_for(path, "alpaca"))


def test_a_column_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    path = lines(tmp_path, {"quesiton": "x", "answer": "y"})
    named = DatasetConfig(path=str(path), columns=ColumnNames(question="question"))
    with pytest.raises(InputError, match=r"no column 'question' in .*did you mean 'quesiton'"):
        scan_layout(named)


def test_columns_of_a_pair_are_refused_for_another_form() -> None:
    with pytest.raises(ValueError, match="'prompt_completion' and 'columns', not to 'alpaca'"):
        DatasetConfig(path="x", form="alpaca", columns=ColumnNames(question="q"))


def test_two_fields_cannot_share_a_column() -> None:
    with pytest.raises(ValueError, match="named for two fields"):
        ColumnNames(question="q", answer="q")


def test_a_layout_goes_through_json_unchanged(tmp_path: Path) -> None:
    path = lines(tmp_path, {"instruction": "a", "input": "", "output": "b", "meta": {"k": 1}, "mixed": 1})
    layout = scan_layout(config_for(path, "alpaca"))
    assert Layout.model_validate_json(layout.model_dump_json()) == layout


def test_a_system_turn_in_the_history_stays_there_beside_an_empty_system_column(tmp_path: Path) -> None:
    prompt = {"role": "system", "content": "Be brief."}
    rows = [
        {"instruction": "a", "output": "A", "system": "", "history": [prompt]},
        {"instruction": "b", "output": "B", "system": "Be kind.", "history": []},
        {"instruction": "c", "output": "C", "history": [prompt]},
    ]
    layout, table, _ = read(config_for(lines(tmp_path, *rows), "alpaca"))
    assert table["history"].to_pylist() == [[prompt], [{**prompt, "content": "Be kind."}], [prompt]]
    [written] = write_records([table], str(tmp_path / "out.jsonl"), layout=layout)
    assert raw(written) == rows


def test_a_changed_history_keeps_the_source_s_spelling_of_its_turns(tmp_path: Path) -> None:
    odd = [{"from": "human", "value": "<b>hi</b>"}, {"from": "gpt", "value": "yes"}]
    rows = [
        {"instruction": "a", "output": "A", "history": [["u", "v"]]},
        {"instruction": "b", "output": "B", "history": odd},
    ]
    layout, table, _ = read(config_for(lines(tmp_path, *rows), "alpaca"))
    histories = table["history"].to_pylist()
    histories[1][0]["content"] = "hi"
    [written] = write_records([rewritten(table, history=histories)], str(tmp_path / "out.jsonl"), layout=layout)
    assert [row["history"] for row in raw(written)] == [[["u", "v"]], [{"from": "human", "value": "hi"}, odd[1]]]


def test_ordinary_rows_leave_no_residue(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "q", "loss": None}, {"from": "gpt", "value": "a", "loss": None}]
    pq.write_table(pa.Table.from_pylist([{"conversations": turns}, {"conversations": turns}]), tmp_path / "a.parquet")
    late = [{"instruction": "q", "input": "", "output": "a"}] * 4096 + [{"instruction": "q", "output": "a", "k": 1}]
    tables = [read(config_for(path, ""))[1] for path in (tmp_path / "a.parquet", lines(tmp_path, *late))]
    assert [table.num_rows - table["_residue"].null_count for table in tables] == [0, 1]
