"""`autodp process` for real: from file to file on a Ray of its own, on a bucket, and killed at any stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.storage.storage import Storage
from tests.integration.conftest import write_dataset

pytestmark = pytest.mark.ray
NUM_ROWS = 600
WORK = ".out.jsonl.autodp-work"
TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`autodp process` in a folder with a dataset."""

    folder: Path
    model: Path

    @property
    def work(self) -> Path:
        return self.folder / WORK

    def start(self, data: str = "data.jsonl", output: str = "out.jsonl", *more: str) -> subprocess.Popen[str]:
        settings = (f"models.tuned.model={self.model}", "pool.part_rows=20", "pool.max_workers=2")
        sets = [word for each in settings for word in ("--set", each)]
        command = [sys.executable, "-m", "autodp_ray.cli", "process", data, "--strategy", "cleaning"]
        names = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        own_code = {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.Popen(
            [*command, "--output", output, "--json", *sets, *more],
            cwd=self.folder,
            env=names | own_code | {"HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, *arguments: str) -> tuple[dict[str, object], str]:
        """The accounts, and what was said on standard error."""
        with self.start(*arguments) as running:
            out, said = running.communicate(timeout=TIMEOUT_S)
        assert running.returncode == 0, said
        accounts = json.loads(out)
        assert isinstance(accounts, dict)
        return accounts, said

    def kill_once(self, has_come: Callable[[], bool]) -> None:
        """Run until it has come so far, and kill the driver."""
        with self.start() as running:
            deadline = time.monotonic() + TIMEOUT_S
            while not has_come():
                assert running.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.005)
            running.send_signal(signal.SIGKILL)
            running.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> Command:
    write_dataset(tmp_path / "data.jsonl", num_rows=NUM_ROWS)
    return Command(folder=tmp_path, model=tiny_model)


def balance(accounts: dict[str, object]) -> int:
    dropped = accounts["dropped"]
    assert isinstance(dropped, dict)
    numbers = [accounts[name] for name in ("rows_out", "quarantined")]
    return sum(int(str(number)) for number in [*numbers, *dropped.values()]) - int(str(accounts["generated"]))


def some(folder: Path, pattern: str, at_least: int) -> Callable[[], bool]:
    return lambda: len(list(folder.glob(pattern))) >= at_least


MOMENTS = {
    "reading": (f"{WORK}/input-*/rows/part-*.arrow", 3),
    "row operators": (f"{WORK}/cache/**/stage-0/finished/*.json", 3),
    "near-duplicates": (f"{WORK}/cache/**/stage-0/manifest.json", 1),
    "writing": (".out.jsonl.pieces/piece-*.jsonl", 1),
}
"""What lies in the folder when the driver is killed."""


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(("row operators",), id="once"),
        pytest.param(tuple(MOMENTS), id="again and again", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_killed_at_any_stage_the_same_command_writes_the_same_bytes(command: Command, moments: tuple[str, ...]) -> None:
    whole, _ = command.finish("data.jsonl", "whole.jsonl")
    for moment in moments:
        command.kill_once(some(command.folder, *MOMENTS[moment]))
    assert not (command.folder / "out.jsonl").exists()
    done, said = command.finish()
    assert f"{NUM_ROWS} rows read, 1 quarantined" in said
    assert (command.folder / "out.jsonl").read_bytes() == (command.folder / "whole.jsonl").read_bytes()
    places = {"output", "files", "quarantine_file", "seconds"}
    assert {key: value for key, value in done.items() if key not in places} == {
        key: value for key, value in whole.items() if key not in places
    }
    assert balance(done) == done["rows_in"] == NUM_ROWS + 1
    assert not command.work.exists()


@pytest.mark.slow
def test_a_bucket_is_processed_by_workers_and_the_table_tells_where_rows_went(
    command: Command, s3_bucket: Storage
) -> None:
    place = s3_bucket.folder(f"process-{command.folder.name}")
    place.write_bytes("in/data.jsonl", (command.folder / "data.jsonl").read_bytes())
    here, _ = command.finish()
    done, _ = command.finish(place.uri("in"), place.uri("out"))
    assert {key: done[key] for key in ("rows_in", "rows_out", "dropped")} == {
        key: here[key] for key in ("rows_in", "rows_out", "dropped")
    }
    assert place.read_bytes("out/data.jsonl") == (command.folder / "out.jsonl").read_bytes()
    assert place.names() == ["in", "out"]
