"""What is seen from outside of a run: its processes, where they listen, its metrics, its journal as it grows."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.integration.conftest import Sandbox

LOOPBACK = ("127.0.0.1:", "[::1]:", "[::ffff:127.0.0.1]:")


@dataclass(slots=True)
class Watched:
    """What was seen of a run's processes while it ran."""

    pid: int = 0
    listeners: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    """Names with their labels, as Prometheus would read them."""

    @property
    def metrics_ports(self) -> set[str]:
        """Where Ray's agent listens; one of them is the endpoint of its metrics."""
        return {re.sub(r".*:(\d+) .*", r"\1", each) for each in self.listeners if "ray::Dashboard" in each}

    def assert_on_loopback_only(self) -> None:
        assert self.listeners, "no listener was seen, so the check saw nothing"
        assert {listener for listener in self.listeners if not listener.startswith(LOOPBACK)} == set()

    def assert_gone(self) -> None:
        assert subprocess.run(["pgrep", "-s", str(self.pid)], capture_output=True, check=False).returncode == 1


def watch(sandbox: Sandbox, *arguments: str, seen: Watched) -> None:
    """Run a command to its good end and note where its processes listen."""
    process = sandbox.start(*arguments)
    seen.pid = process.pid
    while process.poll() is None:
        seen.listeners |= _listeners(process.pid)
        seen.metrics |= _metrics(seen.metrics_ports)
        time.sleep(0.5)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]


def kill_when(sandbox: Sandbox, run_dir: str, event: str, count: int, *, timeout_s: float = 240) -> None:
    """Start a run and kill its driver with SIGKILL as soon as the journal holds so many events of a name."""
    process = sandbox.start("run", "config.yaml", "--run-dir", run_dir)
    deadline = time.monotonic() + timeout_s
    journal = sandbox.folder / run_dir / "journal"
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(journal.glob(f"[0-9]*-{event}.json"))) >= count:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, f"the run ended before it could be killed: {errors[-3000:]}"


def descendants(pid: int) -> set[int]:
    """A process and all that it started."""
    shown = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in shown.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def titles(pids: Collection[int]) -> dict[int, str]:
    """What processes call themselves; without those that are gone."""
    shown = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    named = {int(pid): title.strip() for pid, title in (line.split(maxsplit=1) for line in shown.splitlines())}
    return {pid: named[pid] for pid in pids if pid in named}


def _listeners(pid: int) -> set[str]:
    """Local addresses on which a process or one that it started listens, with the name of the process."""
    shown = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    own = descendants(pid)
    lines = [line.split(maxsplit=5) for line in shown.splitlines() if "pid=" in line]
    return {
        f"{line[3]} {line[5]}" for line in lines if own & {int(found) for found in re.findall(r"pid=(\d+)", line[5])}
    }


def _metrics(ports: set[str]) -> set[str]:
    """Our samples on the endpoints of Ray's agent, without their values."""
    found = set()
    for port in ports:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as page:
                text = page.read().decode()
        except (OSError, ValueError, http.client.HTTPException):  # not there yet, or no endpoint of metrics
            continue
        found |= {line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("ray_autodp_")}
    return found
