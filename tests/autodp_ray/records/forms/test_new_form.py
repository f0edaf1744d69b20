"""A further form is a class and a place in the table: it is told from the rows, read and written back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.forms import all_forms, detection
from autodp_ray.records.forms.conversation import ConversationForm
from autodp_ray.records.forms.flat import FlatForm
from autodp_ray.records.forms.found import Found
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.reader import read_records
from operators.contract.errors import InputError


class Dialog(ConversationForm):
    """`dialog`, a list of turns with `role` and `text`."""

    name = "dialog"
    accepted = "dialog (dialog)"
    turns_names = ("dialog",)
    turn_keys = ("role", "text")


class Exam(FlatForm):
    """`exam_task` and `exam_key`."""

    name = "exam"
    accepted = "exam_task/exam_key (exam)"
    pairs = (("exam_task", "exam_key"),)

    def pair(self, found: Found) -> tuple[str, str]:
        return self.pairs[0]


@pytest.fixture(autouse=True)
def _two_more_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = (*all_forms.FORMS, Dialog(), Exam())
    monkeypatch.setattr(all_forms, "FORMS", forms)
    monkeypatch.setattr(detection, "FORMS", forms)


def written(path: Path, rows: list[object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("dialog", {"dialog": [{"role": "user", "text": "2 + 2?"}, {"role": "assistant", "text": "4"}], "source": "x"}),
        ("exam", {"exam_task": "2 + 2?", "exam_key": "4", "system": None, "level": 3}),
    ],
)
def test_a_new_form_is_told_read_and_written_back(tmp_path: Path, form: str, row: object) -> None:
    config = DatasetConfig(path=written(tmp_path / "in.jsonl", [row, row]))
    layout = scan_layout(config)
    tables = list(read_records(config, on_quarantine=lambda bad: pytest.fail(bad.reason), layout=layout))
    assert layout.form == form
    assert [(table["question"].to_pylist(), table["answer"].to_pylist()) for table in tables] == [
        (["2 + 2?"] * 2, ["4"] * 2)
    ]
    write_records(tables, str(tmp_path / "out.jsonl"), layout=layout)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [row, row]


def test_a_dataset_of_no_form_hears_of_the_new_one(tmp_path: Path) -> None:
    path = written(tmp_path / "in.jsonl", [{"a": 1}])
    with pytest.raises(InputError, match=r"messages \(chat\).*dialog \(dialog\), or exam_task/exam_key \(exam\)$"):
        scan_layout(DatasetConfig(path=path))


def test_the_config_takes_the_names_of_all_forms_and_no_other() -> None:
    for name in ("alpaca", "sharegpt", "chat", "prompt_completion", "columns"):
        assert DatasetConfig(path="x", form=name).form == name
    with pytest.raises(ValueError, match="'alpaca', 'sharegpt', 'chat', 'prompt_completion' or 'columns'"):
        DatasetConfig(path="x", form="diary")
