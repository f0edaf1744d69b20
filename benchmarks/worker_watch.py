"""What the worker processes of a Ray cluster used: processor time, peak memory, bytes written to files.

One actor on each node reads /proc of the processes that its own raylet started, and of those that these started in
turn, as some engines do. They are those of every job; so on a shared cluster the figures are upper bounds. The peaks
are those since `start`: the kernel's mark is set back. What goes to an object store is sent and no file, so it is not
among the bytes written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.cluster.nodes import described_nodes

EVERY_S = 0.25
WORKER_TITLE = "ray::"
"""How the command line of every worker process of Ray begins."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of the worker processes together; the peak is that of the largest one."""

    cpu_s: float = 0.0
    written_bytes: int = 0
    peak_bytes: int = 0
    processes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            cpu_s=self.cpu_s + other.cpu_s,
            written_bytes=self.written_bytes + other.written_bytes,
            peak_bytes=max(self.peak_bytes, other.peak_bytes),
            processes=self.processes + other.processes,
        )


class NodeWatch:
    """Looks at some children of one process, and all that is below them, every quarter of a second.

    So of one that ends little is lost.
    """

    def __init__(self, parent: int | None = None, title: str = WORKER_TITLE) -> None:
        self._parent = os.getppid() if parent is None else parent
        self._title = title
        self._lock = threading.Lock()
        self._before: dict[int, Usage] = {}
        self._seen: dict[int, Usage] = {}
        threading.Thread(target=self._look_forever, daemon=True).start()

    def start(self) -> None:
        """What was used until now does not count."""
        with self._lock:
            self._seen = {}
            for pid in self._workers():
                _set_back_peak(pid)
            self._before = self._looked()

    def usage(self) -> Usage:
        """What was used since the start."""
        self._look()
        with self._lock:
            return sum((_since(one, self._before.get(pid)) for pid, one in self._seen.items()), Usage())

    def _look_forever(self) -> None:
        while True:
            self._look()
            threading.Event().wait(EVERY_S)

    def _look(self) -> None:
        with self._lock:
            self._seen |= self._looked()

    def _looked(self) -> dict[int, Usage]:
        found = ((pid, _used_by(pid)) for pid in self._workers())
        return {pid: usage for pid, usage in found if usage is not None}

    def _workers(self) -> set[int]:
        parents = dict(_parents())
        below = {pid for pid, parent in parents.items() if parent == self._parent and self._is_worker(pid)}
        found: set[int] = set()
        while below:
            found |= below
            below = {pid for pid, parent in parents.items() if parent in below}
        return found

    def _is_worker(self, pid: int) -> bool:
        try:
            title = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
        except OSError:  # it has ended
            return False
        return pid != os.getpid() and title.startswith(self._title)


class ClusterWatch:
    """The watches of all nodes."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self._actors = actors

    def start(self) -> None:
        """What was used until now does not count."""
        ray.get([actor.start.remote() for actor in self._actors])

    def usage(self) -> Usage:
        """Of the workers of all nodes since the start."""
        found: list[Usage] = ray.get([actor.usage.remote() for actor in self._actors])
        return sum(found, Usage())


@contextmanager
def watched_cluster() -> Iterator[ClusterWatch]:
    """Watches the nodes that are alive now."""
    watch = ray.remote(num_cpus=0)(NodeWatch)
    places = [NodeAffinitySchedulingStrategy(node.node_id, soft=False) for node in described_nodes()]
    actors: list[Any] = [watch.options(scheduling_strategy=place).remote() for place in places]
    try:
        yield ClusterWatch(actors)
    finally:
        for actor in actors:
            ray.kill(actor)


def _parents() -> Iterator[tuple[int, int]]:
    """Every process with the one that started it."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), int(_fields_of(folder)[1])
            except OSError:  # it has ended
                continue


def _since(now: Usage, before: Usage | None) -> Usage:
    if before is None:
        return now
    return Usage(
        cpu_s=now.cpu_s - before.cpu_s,
        written_bytes=now.written_bytes - before.written_bytes,
        peak_bytes=now.peak_bytes,
        processes=now.processes,
    )


def _used_by(pid: int) -> Usage | None:
    """None for a process that has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        fields = _fields_of(folder)
        status = (folder / "status").read_text("utf-8", "replace").splitlines()
        written = (folder / "io").read_text("utf-8").splitlines()
    except OSError:
        return None
    peaks = [int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")]
    return Usage(
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
        written_bytes=sum(int(line.split()[1]) for line in written if line.startswith("wchar")),
        peak_bytes=max(peaks, default=0),
        processes=1,
    )


def _fields_of(folder: Path) -> list[str]:
    """What stands behind the name in a process's `stat`: state, parent, ..., times in user and system mode."""
    return (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _set_back_peak(pid: int) -> None:
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")
    except OSError:  # it has ended, or the system forbids it: then the peak is that of its whole life
        return
