"""A starter config runs as it is: it reads the dataset that was looked at, and its sizes fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config, dataset_settings, load_config
from autodp_ray.config.splits_config import SplitsConfig
from autodp_ray.config.starter import (
    FIRST_LOOK,
    FIRST_LOOK_LENGTH,
    FIRST_LOOK_ROWS,
    LENGTHS,
    starter_config,
    what_was_seen,
)
from autodp_ray.config.teams_config import TeamsConfig
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.inspection import inspect_dataset
from autodp_ray.samplers.random import RandomSampler
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import NO_MODELS, pair, write_jsonl

SAID = (
    *('dataset.roles={"pupil": "user", "teacher": "assistant"}', "dataset.domain=medical", "dataset.language=zh"),
    *("dataset.ids=make", "dataset.limit=30", 'dataset.nulls=["-"]', "dataset.preference=chosen"),
)
CANARY = "canary-7f3a"


def test_what_was_said_of_the_dataset_stands_in_the_config(tmp_path: Path) -> None:
    turns = [{"role": "pupil", "content": "How?"}, {"role": "teacher", "content": "So."}]
    path = write_jsonl(tmp_path / "d.jsonl", [{"messages": turns, "id": at} for at in range(40)])
    said = dataset_settings(str(path), SAID)
    assert written(tmp_path, said).dataset == said.model_copy(update={"format": "jsonl", "form": "chat"})


def written(folder: Path, dataset: DatasetConfig) -> Config:
    (folder / "config.yaml").write_text(starter_config(inspect_dataset(dataset)), encoding="utf-8")
    return load_config(str(folder / "config.yaml"))


@pytest.mark.parametrize("num_rows", [20, 60, 300])
def test_its_splits_and_sample_fit_the_dataset(tmp_path: Path, num_rows: int) -> None:
    rows = [pair(at) | ({"output": ""} if at % 9 == 4 else {}) for at in range(num_rows)]
    path = write_jsonl(tmp_path / "data.jsonl", [*rows, "{broken"])
    config = written(tmp_path, DatasetConfig(path=str(path)))
    run = Storage.at(tmp_path / "run")
    at_random = config.model_copy(update={"sampling": config.sampling.model_copy(update={"method": RandomSampler()})})
    prepared = prepare(at_random, run=run, journal=Journal(run), progress=Silent(), models=NO_MODELS)
    assert prepared.train.num_rows >= num_rows / 2
    assert min(prepared.guide.num_rows, prepared.validation.num_rows, prepared.test.num_rows) >= 1
    assert prepared.sample.num_rows >= 0.9 * min(160, prepared.train.num_rows)


def real_run(text: str) -> dict[str, Any]:
    """The sections that the last comment gives for a run that counts."""
    _, marker, block = text.partition("leave out `teams`, `search` and `pool`:\n")
    assert marker
    return dict(yaml.safe_load(block.replace("#  ", "")))


def test_a_large_dataset_gets_the_first_look_and_the_usual_sizes_beside_it_and_a_small_one_a_warning(
    tmp_path: Path,
) -> None:
    path = write_jsonl(tmp_path / "data.jsonl", [pair(at) for at in range(60)])
    small = inspect_dataset(str(path))
    assert "expect gains that the test set does not confirm" in starter_config(small)
    large = starter_config(small.model_copy(update={"num_rows": 20_000}))
    assert "does not confirm" not in large
    (tmp_path / "large.yaml").write_text(large)
    config = load_config(str(tmp_path / "large.yaml"))
    assert config.splits == FIRST_LOOK
    assert (config.sampling.rate, config.sampling.max_rows) == (0.2, FIRST_LOOK_ROWS)
    real = real_run(large)
    assert SplitsConfig(**real["splits"]) == SplitsConfig()
    assert real["sampling"] == {"rate": 0.2}


def test_what_a_run_that_counts_takes_is_a_config_when_it_is_put_in_place(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "data.jsonl", [pair(at) for at in range(300)])
    text = starter_config(inspect_dataset(str(path)))
    sections = {**yaml.safe_load(text), **real_run(text)}
    kept = {name: section for name, section in sections.items() if name not in ("teams", "search", "pool")}
    (tmp_path / "real.yaml").write_text(yaml.safe_dump(kept))
    config = load_config(str(tmp_path / "real.yaml"))
    assert config.teams == TeamsConfig()
    assert config.training.num_gpus_per_worker == 1
    assert config.splits.test > 0.2 * 300


def test_rows_are_given_the_room_that_they_need_within_bounds(tmp_path: Path) -> None:
    profile = inspect_dataset(str(write_jsonl(tmp_path / "data.jsonl", [pair(at) for at in range(20)])))
    first, real = [], []
    for tokens in (10, 250, 800, 100_000):
        text = starter_config(profile.model_copy(update={"conversation_tokens": (tokens,) * 101}))
        (tmp_path / "c.yaml").write_text(text)
        first.append(load_config(str(tmp_path / "c.yaml")).training.max_length)
        real.append(real_run(text)["training"]["max_length"])
    assert first == [LENGTHS[0], 256, FIRST_LOOK_LENGTH, FIRST_LOOK_LENGTH]
    assert real == [LENGTHS[0], 256, 800, LENGTHS[1]]


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
    assert "max_input_chars: 200" in (tmp_path / "config.yaml").read_text()
    assert config.dataset.path == str(path)
    again = inspect_dataset(config.dataset)
    assert again.settings == {"language": "zh"}
    assert again.model_copy(update={"settings": {}}) == inspect_dataset(dataset)
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


def chats(folder: Path, *, num_turns: int, system: str) -> Path:
    turns = [
        {"role": role, "content": f"{role} says a few words on the matter at hand"}
        for _ in range(num_turns)
        for role in ("user", "assistant")
    ]
    rows = [{"messages": [{"role": "system", "content": system}, *turns]}] * 5
    return write_jsonl(folder / "chats.jsonl", rows)


def test_the_room_is_for_whole_conversations_with_their_system_prompt(tmp_path: Path) -> None:
    short = written(tmp_path, DatasetConfig(path=str(chats(tmp_path, num_turns=1, system="Be kind."))))
    assert short.training.max_length == LENGTHS[0]
    long = inspect_dataset(str(chats(tmp_path, num_turns=13, system="Be kind. " * 200)))
    assert 900 <= real_run(starter_config(long))["training"]["max_length"] <= 1400


def test_rows_that_are_cut_are_said(tmp_path: Path) -> None:
    profile = inspect_dataset(str(chats(tmp_path, num_turns=2, system="长" * 3000)))
    said = "100% of the rows are longer than training.max_length 256"
    assert said in starter_config(profile)
    assert "raise it, up to 2048" in starter_config(profile)
    assert any(line.startswith("warning: ") and said in line for line in what_was_seen(profile, "c.yaml"))
    fits = inspect_dataset(str(chats(tmp_path, num_turns=2, system="Be kind.")))
    assert not any("warning" in line for line in what_was_seen(fits, "c.yaml"))


def test_what_is_lost_and_unused_is_said_and_half_the_rows_lost_is_no_reason_to_go_on(tmp_path: Path) -> None:
    rows = [pair(at) | {"topic": CANARY} for at in range(4)]
    few = inspect_dataset(str(write_jsonl(tmp_path / "few.jsonl", [*rows, "{broken"])))
    said = "\n".join(what_was_seen(few, "c.yaml"))
    assert "1 of 5 rows cannot be read and are set aside: 1 invalid JSON" in said
    assert "not used, but kept in the output: topic" in said
    assert said.endswith("next: autodp plan c.yaml")
    half = inspect_dataset(str(write_jsonl(tmp_path / "half.jsonl", [*rows, *["{broken"] * 4])))
    said = "\n".join(what_was_seen(half, "c.yaml"))
    assert "next: autodp plan" not in said
    assert "mend the data" in said
    assert CANARY not in said


def test_how_the_files_are_read_goes_into_the_config(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("question;answer\n问题;回答\n".encode("gb18030"))
    config = written(tmp_path, DatasetConfig(path=str(tmp_path / "a.csv"), encoding="gb18030"))
    assert (config.dataset.encoding, config.dataset.delimiter) == ("gb18030", ";")
