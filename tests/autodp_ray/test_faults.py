"""An error that nobody foresaw ends a run in good order: `failed`, one line, no row, everything stopped."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from ray.exceptions import RayError
from typer.testing import CliRunner

from actors.storage.storage import Storage
from autodp_ray.cli import main as cli
from autodp_ray.cluster.ray import Cluster
from autodp_ray.faults import as_run_error
from autodp_ray.progress import Silent
from autodp_ray.records import inspection
from autodp_ray.result import RunResult
from autodp_ray.runs import evaluation as run_evaluation
from autodp_ray.runs import phases as run_phases
from autodp_ray.runs.folder import RunFolder
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.runs.phases import run_search
from operators.contract.errors import RunError
from tests.autodp_ray.run_fakes import config_values, model_folder, pair, write_jsonl

CLUSTER = Cluster(is_own=True, num_nodes=1, num_cpus=2, num_gpus=0, hosts=frozenset())
CANARY = "canary-q17 my knee hurts"
WHERE = " at autodp_ray/runs/evaluation.py:"
UNFORESEEN = [
    (lambda: ValueError(CANARY), f"ValueError (its message is left out: it may quote a row){WHERE}"),
    (lambda: KeyError(CANARY), f"KeyError (its message is left out: it may quote a row){WHERE}"),
    (lambda: OSError(errno.EIO, "Input/output error", "/runs/x"), f"OSError: Input/output error (/runs/x){WHERE}"),
    (lambda: OSError(errno.ENOSPC, "No space left on device", "/runs/x"), "no space is left on a disk (/runs/x): free"),
    (lambda: OSError(CANARY), f"OSError (its message is left out: it may quote a row){WHERE}"),
    (lambda: RayError(CANARY), f"Ray failed (RayError); see the logs of the Ray session{WHERE}"),
    (lambda: sqlite3.OperationalError("disk is full"), f"OperationalError: disk is full{WHERE}"),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenRun:
    """A run that is opened, over 40 rows."""
    monkeypatch.chdir(tmp_path)
    data = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(40)])
    models = config_values(data)["models"]
    assert isinstance(models, dict)
    models["tuned"] = {"model": str(model_folder(tmp_path))}
    Path("run.yaml").write_text(yaml.safe_dump(config_values(data, models=models)))
    monkeypatch.setattr(run_evaluation, "require_endpoints", lambda *given, **needs: None)
    found = open_run(RunOptions(config_path="run.yaml", run_dir="run"))
    found.finished_result()
    return found


class Ray:
    """Says whether somebody is connected to it."""

    def __init__(self) -> None:
        self.is_up = False

    @contextmanager
    def connect(self) -> Iterator[Cluster]:
        self.is_up = True
        try:
            yield CLUSTER
        finally:
            self.is_up = False


def break_down(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Exception]) -> None:
    """Let a run fail once its Ray is up."""

    def failing(*arguments: object, **settings: object) -> None:
        raise make()

    monkeypatch.setattr(run_evaluation, "open_strategy_cache", failing)


@pytest.mark.parametrize(("make", "said"), UNFORESEEN)
def test_an_unforeseen_error_leaves_a_failed_run_and_no_ray(
    run: OpenRun, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Exception], said: str
) -> None:
    ray = Ray()
    break_down(monkeypatch, make)
    with pytest.raises(RunError) as raised:
        run_search(run, connect=ray.connect, progress=Silent())
    assert str(raised.value).startswith(said)
    assert "canary" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert not ray.is_up
    result = run.folder.result()
    assert result is not None
    assert (result.status, result.error) == ("failed", str(raised.value))


def test_a_disk_too_full_for_the_result_hides_no_error(run: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    written = RunFolder.write_result

    def full(folder: RunFolder, result: RunResult) -> None:
        if result.status == "failed":
            raise OSError(errno.ENOSPC, "No space left on device")
        written(folder, result)

    monkeypatch.setattr(RunFolder, "write_result", full)
    break_down(monkeypatch, lambda: RuntimeError("first"))
    ray = Ray()
    with pytest.raises(RunError, match="RuntimeError"):
        run_search(run, connect=ray.connect, progress=Silent())
    assert not ray.is_up


@pytest.mark.parametrize("flags", [[], ["--verbose"]])
def test_the_command_line_says_one_line_and_shows_the_way_to_it_when_asked(
    run: OpenRun, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    def failing(*arguments: object, **settings: object) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr(run_phases, "prepare", failing)
    result = CliRunner().invoke(cli.app, [*flags, "run", "--resume", "run"])
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("autodp: ")]
    assert len(lines) == 1
    assert lines[0].startswith("autodp: ValueError (its message is left out")
    assert "canary" not in result.output
    assert ("in failing" in result.stderr) == bool(flags)
    assert "Traceback" not in result.stderr


def test_other_commands_end_in_one_line_too(run: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(dataset: object) -> None:
        raise ZeroDivisionError(CANARY)

    monkeypatch.setattr(inspection, "inspect_dataset", failing)
    result = CliRunner().invoke(cli.app, ["init", "data.jsonl"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("autodp: ZeroDivisionError (its message is left out: it may quote a row) at ")
    assert len(result.stderr.splitlines()) == 1


def test_the_way_to_an_error_is_logged_with_its_causes_and_without_their_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def reading() -> None:
        raise KeyError(CANARY)

    def working() -> None:
        try:
            reading()
        except KeyError as error:
            raise ValueError(CANARY) from error

    with caplog.at_level(logging.INFO, logger="autodp_ray.faults"), pytest.raises(ValueError, match="canary") as raised:
        working()
    with caplog.at_level(logging.INFO, logger="autodp_ray.faults"):
        as_run_error(raised.value)
    assert "in reading" in caplog.text
    assert "in working" in caplog.text
    assert "canary" not in caplog.text


def test_a_finished_run_has_its_report_before_the_services_stop(run: OpenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray()
    seen: list[bool] = []

    @contextmanager
    def connect() -> Iterator[Cluster]:
        with ray.connect() as cluster:
            yield cluster
        seen.append(run.folder.storage.exists("report.html"))

    def nothing_to_do(self: object, stack: ExitStack) -> None:
        stack.enter_context(connect())

    monkeypatch.setattr(run_phases._Run, "phases", nothing_to_do)
    result = run_search(run, connect=connect, progress=Silent())
    assert (result.status, seen) == ("done", [True])


def test_an_object_store_that_fails_is_told_in_its_own_words(s3_bucket: Storage) -> None:
    elsewhere = Storage.at(f"{s3_bucket.location}-of-nobody/runs")
    with pytest.raises(OSError, match="of-nobody") as failed:
        elsewhere.write_text("result.json", CANARY)
    told = str(as_run_error(failed.value))
    assert told.startswith("the storage failed: ")
    assert "autodp-of-nobody" in told
    assert told.endswith("see that it is reachable, and the credentials for it")
    assert CANARY not in told
