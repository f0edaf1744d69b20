"""Every form through reading, cleaning and writing: only what cleaning has a reason to change is another."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from operators.contract.operator import RowOperator
from operators.contract.resources import Resources
from operators.ngram_repetition import NgramRepetition
from operators.rows.conversation import messages_of
from operators.rows.record import is_complete
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup
from operators.testing.fakes import FakeTokenizer
from operators.token_count import TokenCount
from tests.autodp_ray.records.form_samples import Row, Sample, samples

SAMPLES = dict(samples())
CLEANING: tuple[RowOperator, ...] = (StripMarkup(), SpecialCharRatio(), TokenCount(), NgramRepetition())


def _cleaned(table: pa.Table) -> pa.Table:
    for operator in CLEANING:
        table = operator.build(Resources(tokenizer=FakeTokenizer()))(table).table
    return table


def _file(folder: Path, sample: Sample, suffix: str) -> Path:
    path = folder / f"in{suffix}"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in sample.rows)
    path.write_text(text if suffix == ".jsonl" else json.dumps(sample.rows), encoding="utf-8")
    return path


def _through(path: Path, sample: Sample, *, clean: bool) -> tuple[pa.Table, list[dict[str, object]]]:
    config = DatasetConfig(path=str(path), **sample.settings)
    layout = scan_layout(config)
    bad: list[BadRow] = []
    table = pa.concat_tables(list(read_records(config, on_quarantine=bad.append, layout=layout)))
    assert [row.reason for row in bad] == []
    table = _cleaned(table) if clean else table
    [written] = write_records([table], str(path.with_name(f"out{path.suffix}")), layout=layout)
    text = Path(written).read_text(encoding="utf-8")
    return table, json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def _texts(rows: list[dict[str, object]]) -> list[str]:
    """Rows with the order of their turns' keys, which `==` does not see."""
    return [json.dumps(dict(sorted(row.items()))) for row in rows]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("name", SAMPLES)
def test_unchanged_rows_come_back_as_they_were(tmp_path: Path, name: str, suffix: str) -> None:
    sample = SAMPLES[name]
    table, rows = _through(_file(tmp_path, sample, suffix), sample, clean=False)
    assert table.num_rows == len(sample.rows)
    assert _texts(rows) == _texts(sample.rows)


@pytest.mark.parametrize("name", SAMPLES)
def test_cleaning_changes_the_dirty_texts_and_nothing_else(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    table, rows = _through(_file(tmp_path, sample, ".jsonl"), sample, clean=True)
    assert table.num_rows == len(sample.rows)
    assert _texts(rows) == _texts(sample.cleaned)


MIXED_IN_PARQUET = [("chat_tools", ".parquet"), ("text_parts", ".parquet")]
"""Samples of which a column holds values of several types, for which Parquet has none."""


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name in SAMPLES for suffix in (".parquet", ".csv") if (name, suffix) not in MIXED_IN_PARQUET],
)
def test_columnar_files_keep_calls_and_keys_as_well(tmp_path: Path, name: str, suffix: str) -> None:
    sample = SAMPLES[name]
    source, expected = (_table(rows, suffix) for rows in (sample.rows, sample.cleaned))
    put = pq.write_table if suffix == ".parquet" else pacsv.write_csv
    put(source, tmp_path / f"in{suffix}")
    config = DatasetConfig(path=str(tmp_path / f"in{suffix}"), **sample.settings)
    layout = scan_layout(config)
    bad: list[BadRow] = []
    table = pa.concat_tables(list(read_records(config, on_quarantine=bad.append, layout=layout)))
    assert bad == []
    [written] = write_records([_cleaned(table)], str(tmp_path / f"out{suffix}"), layout=layout)
    out = pq.read_table(written) if suffix == ".parquet" else _read_csv(written, expected.schema)
    assert out.to_pylist() == expected.cast(source.schema).to_pylist()


def _table(rows: list[dict[str, object]], suffix: str) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if suffix == ".csv":
        rows = [{name: _csv_cell(row.get(name)) for name in names} for row in rows]
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])


def _csv_cell(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _read_csv(path: str, schema: pa.Schema) -> pa.Table:
    texts = pacsv.ConvertOptions(
        column_types={name: pa.string() for name in schema.names},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True), convert_options=texts)


def _source_turns(row: Row) -> list[Row]:
    return row.get("messages") or row.get("conversations") or [*row["prompt"], *row["completion"]]


@pytest.mark.parametrize("name", [name for name in SAMPLES if "tools" in name])
def test_calls_and_results_of_every_spelling_are_openai_messages(tmp_path: Path, name: str) -> None:
    table, _ = _through(_file(tmp_path, SAMPLES[name], ".jsonl"), SAMPLES[name], clean=False)
    num_calls = 0
    for row, source in zip(table.to_pylist(), SAMPLES[name].rows, strict=True):
        messages = messages_of(row["history"], row["question"], row["answer"])
        turns = _source_turns(source)
        is_unanswered = row["answer"] is None and "tool_calls" not in messages[-1]
        assert len(messages) == len(turns) + bool(source.get("system")) + is_unanswered
        for message in messages:
            for call in message.get("tool_calls", ()):
                num_calls += 1
                assert call["function"]["name"] == "weather"
                assert "https://" in json.loads(call["function"]["arguments"])["url"]
        assert {message["role"] for message in messages} <= {"system", "user", "assistant", "tool"}
    assert num_calls > 100


def test_only_a_row_that_ends_with_a_result_lacks_its_answer(tmp_path: Path) -> None:
    for name in ("sharegpt_tools", "chat_tools", "prompt_completion_tools"):
        table, _ = _through(_file(tmp_path, SAMPLES[name], ".jsonl"), SAMPLES[name], clean=False)
        turns = [_source_turns(row) for row in SAMPLES[name].rows]
        ends = [each[-1].get("role") or each[-1]["from"] for each in turns]
        lacking = [end in ("tool", "observation") for end in ends]
        assert is_complete(table).to_pylist() == [not each for each in lacking]
        assert 0 < sum(lacking) < len(lacking)


def test_rows_that_differ_in_context_or_calls_alone_are_other_records(tmp_path: Path) -> None:
    call = {"name": "weather", "arguments": "{}"}
    rows = [
        {
            "messages": [
                {"role": "user", "content": "How warm is it?"},
                {"role": "assistant", "content": None, "tool_calls": [{"function": {**call, "arguments": str(at)}}]},
            ]
        }
        for at in range(120)
    ]
    sample = Sample(rows=rows, cleaned=rows)
    table, written = _through(_file(tmp_path, sample, ".jsonl"), sample, clean=True)
    assert written == rows
    assert not any("-" in row_id for row_id in table["id"].to_pylist())


def test_a_question_in_the_place_of_answers_that_are_texts_stays_one(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "<p>How warm is it?</p>\n<p>And where?</p>"}
    answered: list[Row] = [{"prompt": [{**asked, "content": f"Why {at}?"}], "completion": "So."} for at in range(5)]
    sample = Sample(rows=[*answered, {"prompt": [], "completion": asked}], cleaned=[])
    table, written = _through(_file(tmp_path, sample, ".jsonl"), sample, clean=True)
    assert table["question"].to_pylist()[-1] == "How warm is it?\n\nAnd where?"
    assert written == [*answered, {"prompt": [], "completion": {**asked, "content": "How warm is it?\n\nAnd where?"}}]
