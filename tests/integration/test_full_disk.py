"""`autodp process` on a disk that fills up in any phase: one line that says so, and later the same bytes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import write_dataset
from tests.integration.process_command import Command, balance, numbers, wait_until
from tests.integration.test_process import MOMENTS, NUM_ROWS, SETTINGS, WORK, some, written

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]

DISK_BYTES = 32 << 20
FILLER = "filler"


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> Iterator[Command]:
    """In a folder that is a disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)], check=True)
    try:
        write_dataset(disk / "data.jsonl", num_rows=NUM_ROWS)
        yield Command(folder=disk, model=tiny_model, settings=SETTINGS)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(folder: Path) -> None:
    """Take all the room that is left, down to the last page."""
    with (folder / FILLER).open("ab") as filler, contextlib.suppress(OSError):
        room = os.statvfs(folder)
        os.posix_fallocate(filler.fileno(), filler.tell(), max(1, room.f_bavail * room.f_frsize))


def ended_on_a_full_disk(command: Command, has_come: Callable[[], bool]) -> str:
    """What the command said that found no room from then on; there is room again after it."""
    with command.start("data.jsonl", "out") as running:
        wait_until(has_come, running)
        while running.poll() is None:
            fill(command.folder)
            time.sleep(0.005)
        _, said = running.communicate()
    (command.folder / FILLER).unlink()
    assert running.returncode == 1, said
    return said


def test_a_disk_that_is_full_in_any_phase_is_one_line_and_the_same_command_goes_on(command: Command) -> None:
    whole, _ = command.finish("data.jsonl", "whole")
    for phase, (pattern, at_least) in MOMENTS.items():
        said = ended_on_a_full_disk(command, some(command.folder, pattern, at_least))
        print(phase, said.splitlines()[-1], flush=True)
        assert "Traceback" not in said
        assert "no space is left on a disk" in said.splitlines()[-1]
        assert "run the same command again, which goes on" in said.splitlines()[-1]
    done, _ = command.finish("data.jsonl", "out")
    assert written(command.folder / "out") == written(command.folder / "whole")
    assert numbers(done) == numbers(whole)
    assert balance(done) == done["rows_in"] == NUM_ROWS + 1
    assert not (command.folder / WORK).exists()
