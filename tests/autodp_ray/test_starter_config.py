"""A starter config runs as it is: it reads the dataset that was looked at, and its sizes fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.storage import Storage
from autodp_ray.config import Config, dataset_settings, load_config
from autodp_ray.journal import Journal
from autodp_ray.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.records.dataset_config import ColumnNames, DatasetConfig
from autodp_ray.records.inspection import inspect_dataset
from autodp_ray.splits import SplitsConfig
from autodp_ray.starter_config import LENGTHS, starter_config
from operators.errors import InputError
from tests.autodp_ray.run_fakes import NO_MODELS, pair, write_jsonl

CANARY = "canary-7f3a"


def written(folder: Path, dataset: DatasetConfig) -> Config:
    (folder / "config.yaml").write_text(starter_config(inspect_dataset(dataset)), encoding="utf-8")
    return load_config(str(folder / "config.yaml"))


@pytest.mark.parametrize("num_rows", [20, 60, 300])
def test_its_splits_and_sample_fit_the_dataset(tmp_path: Path, num_rows: int) -> None:
    rows = [pair(at) | ({"output": ""} if at % 9 == 4 else {}) for at in range(num_rows)]
    path = write_jsonl(tmp_path / "data.jsonl", [*rows, "{broken"])
    config = written(tmp_path, DatasetConfig(path=str(path)))
    run = Storage.at(tmp_path / "run")
    at_random = config.model_copy(update={"sampling": config.sampling.model_copy(update={"method": "random"})})
    prepared = prepare(at_random, run=run, journal=Journal(run), progress=Silent(), models=NO_MODELS)
    assert prepared.train.num_rows >= num_rows / 2
    assert min(prepared.guide.num_rows, prepared.validation.num_rows, prepared.test.num_rows) >= 1
    assert prepared.sample.num_rows >= 0.9 * min(160, prepared.train.num_rows)


def test_a_large_dataset_gets_the_usual_sizes_and_a_small_one_a_warning(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "data.jsonl", [pair(at) for at in range(60)])
    small = inspect_dataset(str(path))
    assert "expect gains that the test set does not confirm" in starter_config(small)
    large = starter_config(small.model_copy(update={"num_rows": 20_000}))
    assert "does not confirm" not in large
    (tmp_path / "large.yaml").write_text(large)
    config = load_config(str(tmp_path / "large.yaml"))
    assert config.splits == SplitsConfig()
    assert config.sampling.rate == 0.2


def test_rows_are_given_the_room_that_they_need_within_bounds(tmp_path: Path) -> None:
    profile = inspect_dataset(str(write_jsonl(tmp_path / "data.jsonl", [pair(at) for at in range(20)])))
    rooms = []
    for chars in (10, 400, 100_000):
        update = {"question_chars": (chars,) * 6, "answer_chars": (chars,) * 6}
        (tmp_path / "c.yaml").write_text(starter_config(profile.model_copy(update=update)))
        rooms.append(load_config(str(tmp_path / "c.yaml")).training.max_length)
    assert rooms == [LENGTHS[0], 256, LENGTHS[1]]


def test_it_reads_the_same_dataset_and_shows_no_row(tmp_path: Path) -> None:
    rows: list[object] = [
        {"frage": "What is it?", "antwort": f"A {CANARY}.", "k": 1},
        {"frage": "这是什么？", "antwort": "无", "k": 2},
        {"frage": "痛风怎么治？", "antwort": "多喝水。", "k": 3},
    ]
    path = tmp_path / "odd: name.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + f"{CANARY}\n")
    dataset = DatasetConfig(path=str(path), columns=ColumnNames(question="frage", answer="antwort"))
    config = written(tmp_path, dataset)
    assert config.dataset.language == "zh"
    assert config.dataset.path == str(path)
    assert inspect_dataset(config.dataset) == inspect_dataset(dataset)
    assert CANARY not in (tmp_path / "config.yaml").read_text()


def test_it_reads_an_installed_corpus(tmp_path: Path) -> None:
    config = written(tmp_path, DatasetConfig(path="pkg:chatterbot_corpus/english"))
    assert config.dataset.format == "auto"
    assert config.dataset.language == "en"


def test_how_the_data_is_read_may_be_said_before_there_is_a_config() -> None:
    said = ("dataset.columns.question=ask", "dataset.format=csv")
    assert dataset_settings("d.dat", said) == DatasetConfig(
        path="d.dat", format="csv", columns=ColumnNames(question="ask")
    )
    with pytest.raises(InputError, match=r"takes dataset\.KEY=VALUE here, .* not 'models.agent=x'"):
        dataset_settings("d.dat", ("models.agent=x",))
    with pytest.raises(InputError, match=r"unknown key dataset\.colums; did you mean columns\?"):
        dataset_settings("d.dat", ("dataset.colums=x",))
