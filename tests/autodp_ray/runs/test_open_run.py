"""Which run a command means: config or folder, where it lies, and whether it is finished."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actors.storage.storage import Storage
from autodp_ray.result import RunResult
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import config_values


@pytest.fixture
def config_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config file in a current folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    Path("run.yaml").write_text(yaml.safe_dump(config_values("data.jsonl")))
    return "run.yaml"


def started(config_path: str, **options: object) -> OpenRun:
    run = open_run(RunOptions(config_path=config_path, **options))  # type: ignore[arg-type]
    assert run.finished_result() is None
    return run


def test_a_run_lies_in_the_folder_that_was_named_with_its_cache_in_the_current_one(
    config_path: str, tmp_path: Path
) -> None:
    run = open_run(RunOptions(config_path=config_path, run_dir="mine"))
    assert run.folder.storage == Storage.at(tmp_path / "mine")
    assert run.cache_storage == Storage.at(tmp_path / ".autodp/cache")
    assert not (tmp_path / "mine").exists()


def test_a_run_without_a_folder_gets_a_new_one_under_storage(config_path: str, tmp_path: Path) -> None:
    plain = open_run(RunOptions(config_path=config_path))
    assert plain.folder.storage.location.startswith(str(tmp_path / "runs") + "/")
    stored = open_run(RunOptions(config_path=config_path, overrides=("storage=s3://bucket/x",)))
    assert stored.folder.storage.location.startswith("s3://bucket/x/runs/")
    assert stored.cache_storage == Storage.at("s3://bucket/x/cache")


def test_overrides_reach_the_config(config_path: str) -> None:
    run = open_run(RunOptions(config_path=config_path, overrides=("search.max_rounds=2",)))
    assert run.config.search.max_rounds == 2


def test_without_config_and_folder_it_says_what_to_write() -> None:
    with pytest.raises(InputError, match=r"autodp run CONFIG, or autodp run --resume RUN_DIR"):
        open_run(RunOptions())


def test_a_wrong_strategy_is_refused_before_anything_is_written(config_path: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown team 'claening', did you mean 'cleaning'"):
        open_run(RunOptions(config_path=config_path, run_dir="mine", strategies="claening"))
    without = ("search.teams=[cleaning, generation]",)
    with pytest.raises(InputError, match="team 'selection' is switched off"):
        open_run(RunOptions(config_path=config_path, overrides=without, run_dir="mine", strategies="selection"))
    assert not (tmp_path / "mine").exists()


def test_a_finished_run_gives_its_result_and_an_unfinished_one_does_not(config_path: str) -> None:
    run = started(config_path, run_dir="mine")
    run.folder.write_result(RunResult(status="interrupted"))
    assert started(config_path, run_dir="mine").folder.run_id == run.folder.run_id
    run.folder.write_result(RunResult(status="done", stop_reason="max_rounds"))
    again = open_run(RunOptions(config_path=config_path, run_dir="mine")).finished_result()
    assert again == RunResult(status="done", stop_reason="max_rounds")


def test_fresh_starts_a_finished_run_over_and_leaves_the_cache(config_path: str) -> None:
    run = started(config_path, run_dir="mine")
    run.cache_storage.write_text("scores/a.json", "{}")
    run.folder.write_result(RunResult(status="done"))
    fresh = started(config_path, run_dir="mine", fresh=True)
    assert fresh.folder.run_id != "" != run.config_path
    assert fresh.folder.result() is None
    assert run.cache_storage.exists("scores/a.json")


def test_fresh_takes_over_a_folder_of_another_config(config_path: str) -> None:
    first = started(config_path, run_dir="mine").folder.run_id
    other = ("search.max_rounds=2",)
    with pytest.raises(InputError, match=r"search\.max_rounds differ"):
        open_run(RunOptions(config_path=config_path, run_dir="mine", overrides=other)).finished_result()
    assert started(config_path, run_dir="mine", overrides=other, fresh=True).folder.run_id != first


def test_a_resumed_run_has_the_settings_it_was_started_with(
    config_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(config_path, run_dir="mine", overrides=("search.max_rounds=2",), strategies="cleaning")
    Path(config_path).write_text("broken: [")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    resumed = open_run(RunOptions(resume=str(tmp_path / "mine")))
    assert resumed.config == run.config
    assert resumed.cache_storage == run.cache_storage
    assert resumed.strategies == "cleaning"
    assert resumed.config_path == config_path
    assert resumed.finished_result() is None
    assert resumed.folder.run_id == run.folder.run_id


@pytest.mark.parametrize(
    "options",
    [
        {"config_path": "run.yaml"},
        {"overrides": ("a=b",)},
        {"run_dir": "other"},
        {"fresh": True},
        {"strategies": "cleaning"},
    ],
)
def test_resume_takes_no_other_settings(config_path: str, options: dict[str, object]) -> None:
    started(config_path, run_dir="mine")
    with pytest.raises(InputError, match="--resume takes the settings of the run that it goes on with"):
        open_run(RunOptions(resume="mine", **options))  # type: ignore[arg-type]


def test_a_folder_that_holds_no_run_cannot_be_resumed(config_path: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        open_run(RunOptions(resume=str(tmp_path / "nothing")))
    assert not (tmp_path / "nothing").exists()
