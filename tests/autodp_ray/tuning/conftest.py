"""Finished runs to tune on."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import yaml

from autodp_ray.applying import apply, engine
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.result import RunResult
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.strategies.processing import Processor
from tests.autodp_ray.run_fakes import NO_MODELS, cache_here, config_values, model_folder, pair, write_jsonl
from tests.autodp_ray.tuning_fakes import MakeRun, applied, dropping_two


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    """Makes a finished run over 40 rows, whose recommendation is `cleaning`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(apply, "open_strategy_cache", cache_here)

    def make(model: Path | None = None, **sections: object) -> OpenRun:
        data = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(40)])
        endpoint = {"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
        tuned = {"model": str(model or model_folder(tmp_path))}
        models = {"agent": endpoint, "operators": endpoint, "tuned": tuned}
        Path("run.yaml").write_text(yaml.safe_dump(config_values(data, models=models, **sections)))
        found = open_run(RunOptions(config_path="run.yaml", run_dir="run"))
        found.finished_result()
        storage = found.folder.storage
        prepare(found.config, run=storage, journal=Journal(storage), progress=Silent(), models=NO_MODELS)
        found.folder.write_result(RunResult(status="done", claim="confirmed", best_strategy="cleaning"))
        return open_run(RunOptions(resume="run"))

    return make


@pytest.fixture
def run(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> OpenRun:
    """A finished run whose recommendation was applied: it tags every answer and drops two rows."""
    found = make_run()
    monkeypatch.setattr(engine, "Processor", functools.partial(Processor, apply_recipe=dropping_two()))
    applied(found)
    return found
