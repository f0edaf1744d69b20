"""Each example dataset is read whole by the settings that the how-to gives, and is in the how-to."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodp_ray.config.run_config import dataset_settings
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.reader import read_records

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "data"
SETTINGS: dict[str, tuple[str, ...]] = {
    "alpaca.jsonl": (),
    "chat.jsonl": (),
    "columns.csv": ("dataset.columns.question=ask", "dataset.columns.answer=reply"),
    "firefly.jsonl": (),
    "preference.jsonl": ("dataset.preference=chosen",),
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


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_each_row_of_an_example_has_a_question_and_an_answer(name: str) -> None:
    bad: list[BadRow] = []
    tables = list(read_records(dataset_settings(str(FOLDER / name), SETTINGS[name]), on_quarantine=bad.append))
    assert bad == []
    assert sum(table.num_rows for table in tables) >= 3
    for table in tables:
        assert all(table["question"].to_pylist())
        assert all(table["answer"].to_pylist())


def test_the_calls_of_tools_stay_in_the_turns_before_the_answer() -> None:
    (table,) = read_records(dataset_settings(str(FOLDER / "tools.jsonl")), on_quarantine=lambda bad: None)
    roles = [turn["role"] for turn in table["history"][0].as_py()]
    assert "tool" in roles
    assert table["answer"][0].as_py() == "It is 4 degrees in Oslo."
