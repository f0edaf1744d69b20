"""The same work on each of many jobs: on Ray's workers where this process is connected to a Ray, else one after another
here. Knows no work and no rows, and loads no Ray by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeVar

from actors.data.pool_config import PoolConfig

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyJobs:
    """Where the jobs are done, and as what."""

    name: str
    """What is done, for errors."""
    pool: PoolConfig = field(default_factory=PoolConfig)
    stays_here: bool = False
    """Whether there is so little to do that workers would hardly have started."""

    def run(self, jobs: Iterable[J], work: Callable[[J], R], *, memory_bytes: int = 0) -> Generator[R, None, None]:
        """The work's results in the order of the jobs, some of which are done ahead.

        Raises: what the work raises of ours; RunError where Ray cannot do the work.
        """
        waiting = iter(jobs)
        first = list(islice(waiting, 2))
        if self.stays_here or len(first) < 2 or not has_workers():
            yield from map(work, chain(first, waiting))
            return
        from actors.data.task_pool import TaskNeeds, run_tasks

        needs = TaskNeeds(num_cpus=self.pool.num_cpus_per_worker, memory_bytes=memory_bytes)
        done: dict[int, R] = {}
        wanted = 0
        tasks = run_tasks(chain(first, waiting), work, name=self.name, needs=needs, max_in_flight=self.pool.max_workers)
        for index, result in tasks:
            done[index] = result
            while wanted in done:
                yield done.pop(wanted)
                wanted += 1

    def run_numbered(self, groups: Iterable[J], work: Callable[[J], R], task_bytes: int) -> Iterator[tuple[int, R]]:
        """The results with their places: what an exchange asks for (stored_exchange.py)."""
        return enumerate(self.run(groups, work, memory_bytes=task_bytes))


def has_workers() -> bool:
    """Whether this process is connected to a Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
