"""Inspection: what a dataset is, in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.inspection import inspect_dataset, language_of

CANARY = "canary-7f3a"


def mixed_dataset(folder: Path) -> Path:
    rows: list[object] = [
        {"frage": "What is it?", "antwort": f"A {CANARY}.", "k": 1},
        {"frage": "这是什么？", "antwort": "无", "k": 2},
        {"frage": "痛风怎么治？", "antwort": "多喝水。", "k": 3},
    ]
    path = folder / "odd: name.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + f"{CANARY}\n")
    return path


def test_a_profile_counts_rows_languages_and_gaps(tmp_path: Path) -> None:
    path = mixed_dataset(tmp_path)
    profile = inspect_dataset(DatasetConfig(path=str(path), columns=ColumnNames(question="frage", answer="antwort")))
    assert (profile.format, profile.form, profile.num_rows) == ("jsonl", "columns", 3)
    assert profile.unparsable_rows == {"invalid JSON": 1}
    assert profile.language_fracs == {"en": pytest.approx(1 / 3), "zh": pytest.approx(2 / 3)}
    assert profile.language == "zh"
    assert (profile.num_missing_questions, profile.num_missing_answers) == (0, 1)
    assert profile.question_chars[0] == 5
    assert profile.extra_columns == ("k",)


def test_turns_are_counted_with_the_last_pair(tmp_path: Path) -> None:
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant")]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"messages": turns}) + "\n" + json.dumps({"messages": turns[:2]}) + "\n")
    profile = inspect_dataset(str(path))
    assert (profile.num_multi_turn, profile.max_turns) == (1, 4)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello there", "en"),
        ("Ça va très bien", "en"),
        ("你好", "zh"),
        ("用 Python 写一个 sort", "zh"),
        ("Привет", "other"),
    ],
)
def test_a_language_is_told_from_the_letters(text: str, language: str) -> None:
    assert language_of(text) == language
