"""Many jobs, on Ray's workers where this process is connected to a Ray, else one after another here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")

NUM_CPUS = 0.5
"""Of a worker, where nobody says otherwise: what operators' workers reserve by default, so a run has room for it."""


def on_workers(
    jobs: Sequence[J], work: Callable[[J], R], *, name: str, num_cpus: float = NUM_CPUS, memory_bytes: int = 0
) -> Generator[R, None, None]:
    """The work's results in the order of the jobs, some of which are done ahead.

    Raises: RunError where Ray cannot do the work.
    """
    if len(jobs) <= 1 or not has_workers():
        yield from map(work, jobs)
        return
    from actors.data.task_pool import TaskNeeds, run_tasks

    needs = TaskNeeds(num_cpus=num_cpus, memory_bytes=memory_bytes)
    waiting: dict[int, R] = {}
    wanted = 0
    for index, result in run_tasks(jobs, work, name=name, needs=needs):
        waiting[index] = result
        while wanted in waiting:
            yield waiting.pop(wanted)
            wanted += 1


def has_workers() -> bool:
    """Whether this process is connected to a Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
