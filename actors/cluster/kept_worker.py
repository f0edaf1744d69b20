"""Processes of a driver that keep what they load from pass to pass, for datasets of few rows.

Ray gives a task whatever process is free, and ends those that are idle: on a small sample each pass would load its
libraries and models anew, which takes longer than its work. Only on a Ray that has one machine, since the processes
reserve nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import ray
from ray.actor import ActorHandle

from actors.cluster.nodes import connection

T = TypeVar("T")


class KeptWorker:
    """An actor that keeps its process between passes and runs any callable."""

    def run(self, step: Callable[[], T]) -> T:
        """The step's result."""
        return step()


_IDLE: list[tuple[str, ActorHandle[KeptWorker]]] = []
"""Those that nobody uses now, each with the connection that made it; Ray ends them with their driver."""
_LOCK = threading.Lock()


def run_on_kept_worker(step: Callable[[], T]) -> T:
    """Runs a step on a process that nobody else uses now.

    Raises: RayError where the process died; the next step gets another.
    """
    with _lent() as worker:
        run: Any = worker.run  # Ray's stubs take no generic methods
        return cast(T, ray.get(run.remote(step)))


@contextmanager
def _lent() -> Iterator[ActorHandle[KeptWorker]]:
    """A worker that goes back to the idle ones, unless it failed."""
    own = connection()
    with _LOCK:
        _IDLE[:] = [(owner, worker) for owner, worker in _IDLE if owner == own]  # of a Ray that is gone: no others
        found = _IDLE.pop()[1] if _IDLE else None
    worker = found or cast("ActorHandle[KeptWorker]", ray.remote(num_cpus=0)(KeptWorker).remote())
    yield worker
    with _LOCK:
        _IDLE.append((own, worker))
