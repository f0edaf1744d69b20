"""The same work on each of many parts: in this process where rows are few, else by workers of the cluster.

Knows no work and no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from actors.data.exchange_files import SentFile
from actors.data.pool_config import PoolConfig
from actors.data.stored_exchange import StepWork, Task
from actors.data.task_pool import TaskNeeds, run_tasks

J = TypeVar("J")
R = TypeVar("R")

IN_PROCESS_ROWS = 20_000
"""Rows that are worked on here, for which workers would hardly have started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTasks:
    """Where the work is done."""

    pool: PoolConfig
    name: str
    """What is done, for errors."""
    on_workers: bool
    """Whether a Ray is there, and the rows are many."""

    def run(self, jobs: Iterable[J], work: Callable[[J], R], *, task_bytes: int = 0) -> list[R]:
        """The results in the order of the jobs.

        Raises: what the work raises.
        """
        done = dict(self._results(jobs, work, task_bytes))
        return [done[place] for place in sorted(done)]

    def run_steps(self, tasks: Iterable[Task], work: StepWork, task_bytes: int) -> Iterator[tuple[int, SentFile]]:
        """The tasks of an exchange."""
        return self._results(tasks, work, task_bytes)

    def _results(self, jobs: Iterable[J], work: Callable[[J], R], task_bytes: int) -> Iterator[tuple[int, R]]:
        if not self.on_workers:
            return enumerate(map(work, jobs))
        needs = TaskNeeds(num_cpus=self.pool.num_cpus_per_worker, memory_bytes=task_bytes)
        return run_tasks(jobs, work, name=self.name, needs=needs, max_in_flight=self.pool.max_workers)
