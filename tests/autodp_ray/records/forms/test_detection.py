"""The form of a dataset: told from all its rows, whatever their order and the names of their files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout
from operators.contract.errors import InputError
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS

ALPACA = {"instruction": "Name a tree.", "input": "", "output": "An oak."}
CANARY = "CANARY 4711, a cell"


def lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **settings: object) -> tuple[Layout, pa.Table, list[BadRow]]:
    config = DatasetConfig(path=str(path), **settings)
    layout = scan_layout(config)
    bad: list[BadRow] = []
    tables = list(read_records(config, on_quarantine=bad.append, layout=layout))
    return layout, pa.concat_tables(tables), bad


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_keys_that_only_late_rows_or_another_file_have_are_mapped(tmp_path: Path, names: tuple[str, str]) -> None:
    plain = {"instruction": "Name a tree.", "output": "An oak."}
    late = {**plain, "input": "In Norway.", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    lines(tmp_path / "in" / f"{names[0]}.jsonl", *[plain] * 5000)
    lines(tmp_path / "in" / f"{names[1]}.jsonl", late)
    layout, table, bad = read(tmp_path / "in")
    assert (layout.input_key, layout.system_key, layout.history_key) == ("input", "system", "history")
    assert bad == []
    [found] = [row for row in table.to_pylist() if row["history"]]
    assert found["question"] == "Name a tree.\nIn Norway."
    assert [turn["content"] for turn in found["history"]] == ["Be brief.", "Hi", "Hello"]


def test_a_column_that_only_late_rows_have_can_be_named(tmp_path: Path) -> None:
    rows = [*[{"question": "q", "answer": "a"}] * 150, {"question": "q", "answer": "a", "rule": "Be brief."}]
    _, table, _ = read(lines(tmp_path / "a.jsonl", *rows), columns=ColumnNames(system="rule"))
    assert table["history"].to_pylist()[-1] == [{"role": "system", "content": "Be brief."}]


@pytest.mark.parametrize("place", [0, 150, 299])
@pytest.mark.parametrize("key", ["messages", "conversations"])
def test_an_odd_row_does_not_decide_the_form_of_the_others(tmp_path: Path, key: str, place: int) -> None:
    rows = [{**ALPACA, "output": f"Tree {at}."} for at in range(300)]
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    for odd, num_bad in (({**rows[place], key: turns}, 0), ({key: turns}, 1), ({**rows[place], key: "x"}, 0)):
        layout, table, bad = read(lines(tmp_path / "a.jsonl", *rows[:place], odd, *rows[place + 1 :]))
        assert layout.form == "alpaca"
        assert table.num_rows == 300 - num_bad
        assert [row.reason for row in bad] == ["no key 'instruction'"] * num_bad


def test_odd_rows_do_not_decide_what_a_flat_row_s_columns_are(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"prompt": "q", "response": f"{at}"} for at in range(100)]
    odd = {"prompt": "q", "completion": "c", "system": {"not": "a text"}, "history": "no turns"}
    layout, table, bad = read(lines(tmp_path / "a.jsonl", *rows, odd))
    assert (layout.question_key, layout.answer_key, layout.system_key) == ("prompt", "response", None)
    assert layout.history_key is None
    assert table.num_rows == 100
    assert [row.reason for row in bad] == ["no key 'response'"]


def test_an_odd_column_of_a_parquet_folder_does_not_decide_its_form(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([ALPACA] * 50), tmp_path / "a.parquet")
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    pq.write_table(pa.Table.from_pylist([{**ALPACA, "messages": turns}]), tmp_path / "b.parquet")
    layout, table, _ = read(tmp_path)
    assert layout.form == "alpaca"
    assert table.num_rows == 51


@pytest.mark.parametrize(
    ("row", "question", "system"),
    [
        ({"instruction": "Sum up.", "context": "A text.", "response": "r"}, "Sum up.\nA text.", None),
        ({"instruction": "Sum up.", "target": "r"}, "Sum up.", None),
        ({"question": "Who?", "context": "A text.", "answer": "r"}, "Who?\nA text.", None),
        ({"system_prompt": "Be brief.", "question": "Who?", "response": "r"}, "Who?", "Be brief."),
        ({"sys": "Be brief.", "prompt": "Who?", "completion": "r"}, "Who?", "Be brief."),
        ({"system_message": "Be brief.", "instruction": "Who?", "output": "r"}, "Who?", "Be brief."),
    ],
)
def test_usual_names_of_columns_are_known(
    tmp_path: Path, row: dict[str, str], question: str, system: str | None
) -> None:
    _, table, _ = read(lines(tmp_path / "a.jsonl", row))
    assert table["question"].to_pylist() == [question]
    assert table["answer"].to_pylist() == ["r"]
    assert [turn["content"] for turn in table["history"].to_pylist()[0]] == ([] if system is None else [system])


def test_a_context_column_of_any_name_joins_the_question(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"q": "Who?", "passage": "A text.", "a": "r"})
    _, table, _ = read(path, columns=ColumnNames(question="q", answer="a", context="passage"))
    assert table["question"].to_pylist() == ["Who?\nA text."]


@pytest.mark.parametrize("user", ["user", "human", "Human", "prompter"])
@pytest.mark.parametrize("assistant", ["assistant", "gpt", "ai", "AI", "bing", "bard", "chatbot", "bot", "model"])
def test_usual_roles_are_known(tmp_path: Path, user: str, assistant: str) -> None:
    turns = [{"role": user, "content": "Hi"}, {"role": assistant, "content": "Hello", "from": "web"}]
    _, table, bad = read(lines(tmp_path / "a.jsonl", {"messages": turns}))
    assert (table["question"].to_pylist(), table["answer"].to_pylist(), bad) == (["Hi"], ["Hello"], [])


def test_a_role_that_is_not_known_is_named_and_can_be_mapped(tmp_path: Path) -> None:
    known = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    turns = [{"from": "Student", "value": "Hi"}, {"from": "Teacher", "value": "Hello"}]
    odd = [turns[0], {"from": CANARY, "value": "Hello"}]
    path = lines(tmp_path / "a.jsonl", *[{"conversations": each} for each in (known, turns, odd)])
    _, table, bad = read(path)
    assert table.num_rows == 1
    assert "the role 'Teacher', which dataset.roles may map" in bad[0].reason
    assert CANARY not in bad[1].reason
    _, table, _ = read(path, roles={"student": "user", "TEACHER": "assistant"})
    assert table["question"].to_pylist() == ["Hi", "Hi"]
    with pytest.raises(ValueError, match="assistant"):
        DatasetConfig(path="x", roles={"student": "pupil"})


def test_a_developer_prompt_is_a_system_prompt(tmp_path: Path) -> None:
    turns = [{"role": role, "content": role} for role in ("developer", "user", "assistant")]
    _, table, _ = read(lines(tmp_path / "a.jsonl", {"messages": turns}))
    assert table["history"].to_pylist() == [[{"role": "system", "content": "developer"}]]


def test_text_parts_are_joined_and_other_parts_are_refused_by_their_type(tmp_path: Path) -> None:
    def row(*parts: object) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": list(parts)}, {"role": "assistant", "content": "A"}]}

    one, two = {"type": "text", "text": "one"}, {"type": "text", "text": "two"}
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    odd = {"type": CANARY, "text": "x"}
    _, table, bad = read(lines(tmp_path / "a.jsonl", row(one, two), row(one), row(image, one), row(odd)))
    assert table["question"].to_pylist() == ["one\ntwo", "one"]
    assert [row.reason for row in bad] == [
        "a content part of the type 'image_url', where only text is read",
        "a content part of an unknown type, where only text is read",
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"instruction": "q", "input": "", "chosen": "good", "rejected": "bad"},
        {
            "prompt": "q",
            "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}],
            "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}],
        },
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        {
            "prompt": [{"role": "user", "content": "q"}],
            "chosen": [
                {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "content": "1"},
                {"role": "assistant", "content": "good"},
            ],
            "rejected": [{"role": "assistant", "content": "bad"}],
        },
        {"messages": [{"role": "user", "content": "q"}], "chosen": "good", "rejected": "bad"},
    ],
)
def test_preference_data_is_called_so_and_its_chosen_answers_are_read_when_asked_for(
    tmp_path: Path, row: dict[str, object]
) -> None:
    path = lines(tmp_path / "a.jsonl", *[row] * 130)
    with pytest.raises(InputError, match=r"is preference data.*dataset\.preference: chosen"):
        scan_layout(DatasetConfig(path=str(path)))
    _, table, _ = read(path, preference="chosen")
    assert table["question"].to_pylist() == ["q"] * 130
    assert table["answer"].to_pylist() == ["good"] * 130
    assert any("rejected" in name for name in table.column_names)
    form = read(path, preference="chosen")[0].form
    assert read(path, preference="chosen", form=form)[1].equals(table)


def test_chosen_answers_that_follow_nothing_are_refused(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"chosen": "Human: q Assistant: good", "rejected": "Human: q Assistant: bad"})
    with pytest.raises(InputError, match=r"no column holds what its chosen answers follow.*dataset\.columns\.question"):
        read(path, preference="chosen")


def test_a_prompt_is_turns_only_where_most_rows_have_turns(tmp_path: Path) -> None:
    texts = {"prompt": "[1] is a list", "completion": "[1]"}
    turns = {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}
    assert read(lines(tmp_path / "a.jsonl", texts, texts, turns))[0].form == "columns"
    layout, table, bad = read(lines(tmp_path / "b.jsonl", turns, texts, turns))
    assert (layout.form, table.num_rows, [row.line for row in bad]) == ("prompt_completion", 2, [2])
    odd = {"prompt": json.dumps([1, 2]), "completion": json.dumps({"a": 1})}
    assert read(lines(tmp_path / "c.jsonl", odd))[0].form == "columns"
    no_turns = {"prompt": ["q"], "completion": "a"}
    layout, table, bad = read(lines(tmp_path / "d.jsonl", texts, texts, no_turns, no_turns, turns))
    assert (layout.form, table.num_rows, [row.line for row in bad]) == ("columns", 2, [3, 4, 5])


def test_a_prompt_without_turns_says_nothing_of_the_form(tmp_path: Path) -> None:
    turns = {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}
    empty = {"prompt": [], "completion": [{"role": "assistant", "content": "b"}]}
    for form in ("auto", "prompt_completion"):
        layout, table, bad = read(lines(tmp_path / "a.jsonl", empty, empty, turns, empty), form=form)
        assert (layout.form, table["answer"].to_pylist(), bad) == ("prompt_completion", ["b", "b", "a", "b"], [])


def test_a_new_row_of_a_prompt_of_pairs_is_told_from_its_answer(tmp_path: Path) -> None:
    pair = {"human": "before", "assistant": "yes"}
    path = lines(
        tmp_path / "a.jsonl", *[{"prompt": [pair, pair, {"role": "user", "content": "q"}], "completion": "a"}] * 2
    )
    layout, table, _ = read(path, form="prompt_completion")
    new = table.slice(0, 1).drop_columns("_residue")
    [written] = write_records([new], str(tmp_path / "out.jsonl"), layout=layout)
    _, again, bad = read(Path(written), form="prompt_completion")
    fields = ["question", "answer"]
    assert (again.select(fields).to_pylist(), bad) == ([{"question": "q", "answer": "a"}], [])
    assert [turn["content"] for turn in again["history"][0].as_py()] == ["before", "yes"] * 2


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_turns_as_text_in_a_column_that_may_hold_texts_are_seen(tmp_path: Path, suffix: str) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    apart = {"prompt": json.dumps(turns[:1]), "completion": json.dumps(turns[1:])}
    put = pq.write_table if suffix == ".parquet" else pacsv.write_csv
    for row, form in ((apart, "prompt_completion"), ({"prompt": "q", "completion": "a"}, "columns")):
        put(pa.Table.from_pylist([row] * 3), tmp_path / f"a{suffix}")
        layout, table, _ = read(tmp_path / f"a{suffix}")
        assert (layout.form, table["question"].to_pylist(), table["answer"].to_pylist()) == (form, ["q"] * 3, ["a"] * 3)


def test_columns_of_turns_may_have_any_names(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    whole = lines(tmp_path / "a.jsonl", {"dialog": turns, "question": "x", "answer": "y"})
    layout, table, _ = read(whole, columns=ColumnNames(turns="dialog"))
    assert (layout.form, table["question"].to_pylist(), table["answer"].to_pylist()) == ("chat", ["q"], ["a"])
    apart = lines(tmp_path / "b.jsonl", {"context_messages": turns[:1], "reply": "a"})
    layout, table, _ = read(apart, columns=ColumnNames(question="context_messages", answer="reply"))
    assert layout.form == "prompt_completion"
    assert (table["question"].to_pylist(), table["answer"].to_pylist()) == (["q"], ["a"])
    with pytest.raises(ValueError, match="question and answer are left out"):
        ColumnNames(turns="dialog", answer="reply")
    for form in ("alpaca", "columns", "prompt_completion"):
        with pytest.raises(ValueError, match="'sharegpt' and 'chat', not to"):
            DatasetConfig(path="x", form=form, columns=ColumnNames(turns="dialog"))


def test_a_dataset_with_answers_is_none_of_preferences(tmp_path: Path) -> None:
    row = {"instruction": "q", "output": "a", "chosen": "a", "rejected": "b"}
    assert read(lines(tmp_path / "a.jsonl", row))[0].form == "alpaca"


def test_plain_turns_keep_two_fields_and_turns_with_keys_have_a_third(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    plain = lines(tmp_path / "a.jsonl", *[{"messages": [*turns, turns[1]]}] * 120)
    assert read(plain)[1].schema.field("history").equals(RECORD_SCHEMA.field("history"))
    null = {**turns[1], "tool_calls": None}
    assert not read(lines(tmp_path / "b.jsonl", {"messages": [turns[0], null]}))[0].has_turn_keys
    keyed = lines(
        tmp_path / "c.jsonl", *[{"messages": turns}] * 5000, {"messages": [turns[0], {**turns[1], "name": "x"}]}
    )
    layout, table, _ = read(keyed)
    assert layout.has_turn_keys
    assert table.schema.field("history").type == pa.list_(TURN_WITH_KEYS)
    assert table["history"].to_pylist()[0] == []
    plain_ids = read(lines(tmp_path / "d.jsonl", {"messages": turns}))[1]["id"].to_pylist()
    assert table["id"].to_pylist()[:1] == plain_ids


def test_no_message_shows_a_cell_where_a_header_line_is_missing(tmp_path: Path) -> None:
    headers = (f"{CANARY},other cell\n", "CANARY4711,secret\n", "CANARY4711,CANARY4711\n", "CANARY one,secret one\n")
    many = "".join(f"{a}{b} one,{b}{a} one\n" for a, b in itertools.permutations("abcdefgh", 2))
    for header, rows in itertools.product(headers, ("x,y\n", "x,y\nx,y\n", many.replace(" one", ""), many)):
        if header.startswith("CANARY4711") and " one" in rows:
            continue  # a word above cells of two words is a name
        path = tmp_path / "a.csv"
        path.write_text(f"{header}{rows}")
        for columns in (ColumnNames(), ColumnNames(question="q"), ColumnNames(question="q", answer="a")):
            with pytest.raises(InputError) as caught:
                scan_layout(DatasetConfig(path=str(path), columns=columns))
            assert "CANARY" not in str(caught.value)
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Ticket ID", ("T-00001", "T-00002")),  # cells have digits
        ("Status", ("Open", "Closed")),  # few cells, often
        ("Agent name", ("Ann Example", "Bob Example")),
        ("问题", ("头痛", "发热")),
    ],
)
def test_a_header_line_is_known_by_the_cells_below_it(tmp_path: Path, name: str, cells: tuple[str, str]) -> None:
    text = "My printer does not answer any more; what can I do?"
    rows = "".join(f"{cells[at % 2]},{text}\n" for at in range(50))
    (tmp_path / "a.csv").write_text(f"{name},Body\n{rows}")
    with pytest.raises(InputError, match=f"its columns are {name}, Body;"):
        scan_layout(DatasetConfig(path=str(tmp_path / "a.csv")))
    (tmp_path / "a.csv").write_text(rows)
    with pytest.raises(
        InputError, match=r"its columns are 2 that are not shown \(does the file begin with a line"
    ) as caught:
        scan_layout(DatasetConfig(path=str(tmp_path / "a.csv")))
    assert cells[0] not in str(caught.value)


def test_a_space_around_a_name_is_shown_and_how_to_write_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Ask ,Reply\nWhat is an oak? A tree?,It is one.\n")
    with pytest.raises(InputError, match=r"its columns are 'Ask ', Reply; it is 'Ask '.*=\"Ask \"") as caught:
        scan_layout(DatasetConfig(path=str(tmp_path / "a.csv"), columns=ColumnNames(question="Ask", answer="Reply")))
    assert "did you mean" not in str(caught.value)


def test_keys_that_are_texts_are_counted_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="titel, 1 more") as caught:
        scan_layout(DatasetConfig(path=str(lines(tmp_path / "a.jsonl", {"titel": "x", CANARY: "y"}))))
    assert "CANARY" not in str(caught.value)
