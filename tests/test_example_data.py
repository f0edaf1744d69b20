"""Each example dataset is read whole by the settings that the how-to gives, and is in the how-to."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pytest

from autodp_ray.config.run_config import dataset_settings, load_config
from autodp_ray.config.starter import starter_config
from autodp_ray.records.inspection import inspect_dataset
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "data"
SETTINGS: dict[str, tuple[str, ...]] = {
    "alpaca.jsonl": (),
    "chat.jsonl": (),
    "columns.csv": ("dataset.columns.question=ask", "dataset.columns.answer=reply"),
    "dialog.jsonl": ("dataset.columns.turns=dialog",),
    "firefly.jsonl": (),
    "preference.jsonl": ("dataset.preference=chosen",),
    "preference_turns.jsonl": ("dataset.preference=chosen",),
    "prompt_completion.jsonl": (),
    "roles.jsonl": ("dataset.roles.pupil=user", "dataset.roles.teacher=assistant"),
    "sharegpt.jsonl": (),
    "tools.jsonl": (),
    "wrapped.json": ("dataset.field=data",),
}


def test_every_example_is_tried_and_named_in_the_how_to() -> None:
    files = sorted(path.name for path in FOLDER.iterdir())
    assert files == sorted(SETTINGS)
    page = (ROOT / "docs" / "how-to" / "data.md").read_text(encoding="utf-8")
    assert [name for name in files if f"examples/data/{name}" not in page] == []


def read(name: str) -> list[pa.Table]:
    """The rows of an example, all of which can be read."""
    settings = dataset_settings(str(FOLDER / name), SETTINGS[name])
    return list(read_records(settings, on_quarantine=lambda bad: pytest.fail(bad.reason)))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_each_row_of_an_example_has_a_question_and_an_answer(name: str) -> None:
    tables = read(name)
    assert sum(table.num_rows for table in tables) >= 3
    for table in tables:
        assert all(table["question"].to_pylist())
        assert all(table["answer"].to_pylist())


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_the_rows_of_an_example_are_written_as_they_were(tmp_path: Path, name: str) -> None:
    layout = scan_layout(dataset_settings(str(FOLDER / name), SETTINGS[name]))
    [written] = write_records(read(name), str(tmp_path / name), layout=layout)
    assert rows(Path(written)) == rows(FOLDER / name)


def rows(path: Path) -> list[object]:
    """The rows of a file, without the code under test."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return list(csv.reader(text.splitlines()))
    return (
        list(json.loads(text)["data"]) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    )


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_the_config_that_init_writes_reads_an_example_as_the_settings_did(tmp_path: Path, name: str) -> None:
    settings = dataset_settings(str(FOLDER / name), SETTINGS[name])
    (tmp_path / "config.yaml").write_text(starter_config(inspect_dataset(settings)), encoding="utf-8")
    again = load_config(str(tmp_path / "config.yaml")).dataset
    tables = list(read_records(again, on_quarantine=lambda bad: pytest.fail(bad.reason)))
    assert pa.concat_tables(tables).equals(pa.concat_tables(read(name)))


def test_the_calls_of_tools_stay_in_the_turns_before_the_answer() -> None:
    (table,) = read_records(dataset_settings(str(FOLDER / "tools.jsonl")), on_quarantine=lambda bad: None)
    roles = [turn["role"] for turn in table["history"][0].as_py()]
    assert "tool" in roles
    assert table["answer"][0].as_py() == "It is 4 degrees in Oslo."
