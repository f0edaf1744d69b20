"""`autodp process` as a user runs it, in a folder of its own: begun, ended well, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The cleaning team on a dataset, whose tokens the tiny model counts."""

    folder: Path
    model: Path
    settings: tuple[str, ...] = ("pool.part_rows=20", "pool.max_workers=2")
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside that of the test, which names no Ray: where another Ray is, for example."""

    def start(self, data: str = "data.jsonl", output: str = "out.jsonl", *more: str) -> subprocess.Popen[str]:
        sets = [word for each in (f"models.tuned.model={self.model}", *self.settings) for word in ("--set", each)]
        command = [sys.executable, "-m", "autodp_ray.cli", "process", data, "--strategy", "cleaning"]
        names = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        own_code = {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.Popen(
            [*command, "--output", output, "--json", *sets, *more],
            cwd=self.folder,
            env=names | own_code | {"HF_HUB_OFFLINE": "1", **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, *arguments: str) -> tuple[dict[str, object], str]:
        """The accounts, and what was said on standard error."""
        return finished(self.start(*arguments))

    def kill_once(self, has_come: Callable[[], bool], *arguments: str) -> None:
        """Run until it has come so far, and kill the driver."""
        with self.start(*arguments) as running:
            wait_until(has_come, running)
            running.send_signal(signal.SIGKILL)
            running.communicate(timeout=TIMEOUT_S)


def finished(running: subprocess.Popen[str]) -> tuple[dict[str, object], str]:
    """The accounts of a command that must end well, and what it said on standard error."""
    with running:
        out, said = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 0, said
    accounts = json.loads(out)
    assert isinstance(accounts, dict)
    return accounts, said


def wait_until(has_come: Callable[[], bool], running: subprocess.Popen[str], *, every_s: float = 0.005) -> None:
    """Until it has come, which must be before the command ends; it is looked for so often."""
    deadline = time.monotonic() + TIMEOUT_S
    while not has_come():
        assert running.poll() is None, f"it ended before it could be disturbed: {running.communicate()[1][-3000:]}"
        assert time.monotonic() < deadline
        time.sleep(every_s)


def balance(accounts: Mapping[str, object]) -> int:
    """All rows that the accounts know of."""
    dropped = accounts["dropped"]
    assert isinstance(dropped, dict)
    numbers = [accounts[name] for name in ("rows_out", "quarantined")]
    return sum(int(str(number)) for number in [*numbers, *dropped.values()]) - int(str(accounts["generated"]))


PLACES = frozenset({"output", "files", "quarantine_file", "seconds"})


def numbers(accounts: Mapping[str, object]) -> dict[str, object]:
    """The accounts without where things lie and how long it took."""
    return {key: value for key, value in accounts.items() if key not in PLACES}
