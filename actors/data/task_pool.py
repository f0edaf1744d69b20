"""Many small jobs on plain Ray tasks, a bounded number of them in flight.

For jobs that need no model kept from one to the next. Ray Data costs the driver some ten times as much for a block of
one job; with many jobs in a block it would cost as little, but a result would come back only with all of its block, and
a worker that dies would take all of it along.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import ray

from actors.cluster.nodes import alive_nodes
from actors.data.freed_memory import FREED_MEMORY
from actors.data.worker_faults import attempt, faults_of_ray, taken
from operators.contract.errors import AutoDPError

J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T")

QUEUED_PER_SLOT = 2
"""Tasks in flight for each that the cluster has room for: the rest waits on the nodes, and has a cluster grow."""
MIN_IN_FLIGHT = 8
ROOM_IS_OLD_S = 10.0
"""How long what the cluster has room for is believed: nodes come and go."""
MAX_MEMORY_FRAC = 0.9
"""Of the largest node's memory, the most that a task reserves: one that asks for more would wait for ever."""
ENDS_ALONE_WITHIN_S = 2.0
"""How long tasks that nobody waits for any more are given to end by themselves. Most are short, and where a task is
cancelled at the moment at which it ends, Ray may end the driver's process."""
ENDS_WITHIN_S = 10.0
"""How long cancelled tasks are given to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNeeds:
    """What each task reserves of its node."""

    num_cpus: float
    num_gpus: float = 0.0
    memory_bytes: int = 0
    """Held at a time; of two tasks that together do not fit into a node, one waits."""


def run_tasks(
    jobs: Iterable[J],
    work: Callable[[J], R],
    *,
    name: str,
    needs: TaskNeeds,
    max_in_flight: int | None = None,
) -> Iterator[tuple[int, R]]:
    """Do the work on every job; yields (index of the job, result) as they come. Jobs are taken as there is room.

    `work`, jobs and results are picklable; `work` travels once. Ray does the task of a worker that dies again, so work
    that writes must write the same anew. Without `max_in_flight` the cluster's size is the bound. Where the caller
    stops, tasks in flight end by themselves or are cancelled.

    Raises: what `work` raises where it is an AutoDPError, else RunError; both say `name`.
    """
    submit: Submit[J, R] = _submit(needs)
    shared = ray.put(work)
    room = _Room(needs.num_cpus, max_in_flight)
    waiting = enumerate(jobs)
    flying: dict[ray.ObjectRef[R | AutoDPError], int] = {}
    with faults_of_ray(name):
        try:
            while True:
                while len(flying) < room.now() and (job := next(waiting, None)) is not None:
                    flying[submit(shared, job[1])] = job[0]
                if not flying:
                    return
                for ref in _ready(tuple(flying)):
                    result = ray.get(ref)
                    yield flying.pop(ref), taken(result, name)
        finally:
            _cancel(tuple(flying))


Submit = Callable[[ray.ObjectRef[Callable[[J], R]], J], ray.ObjectRef[R | AutoDPError]]


def _submit(needs: TaskNeeds) -> Submit[J, R]:
    """What starts a task."""
    memory = min(needs.memory_bytes, _largest_memory()) if needs.memory_bytes else 0
    task: Any = ray.remote(num_cpus=needs.num_cpus, num_gpus=needs.num_gpus, memory=memory)(_attempted)
    return cast(Submit[J, R], task.remote)  # Ray's stubs lose its type


def _attempted(work: Callable[[J], R], job: J) -> R | AutoDPError:
    done = attempt(lambda: work(job))
    FREED_MEMORY.give_back()  # Ray lets the process live on for whatever task comes next
    return done


def _ready(flying: Sequence[ray.ObjectRef[T]]) -> list[ray.ObjectRef[T]]:
    """All that are done, at least one."""
    first, others = ray.wait(list(flying), num_returns=1)
    more = ray.wait(others, num_returns=len(others), timeout=0)[0] if others else []
    return [*first, *more]


def _cancel(flying: Sequence[ray.ObjectRef[T]]) -> None:
    """What was begun ends soon, so that whoever clears up behind it finds nobody writing."""
    left = _unfinished(flying, ENDS_ALONE_WITHIN_S)
    for ref in left:
        ray.cancel(ref)
    _unfinished(left, ENDS_WITHIN_S)


def _unfinished(flying: Sequence[ray.ObjectRef[T]], within_s: float) -> list[ray.ObjectRef[T]]:
    """Those that do not end in that time."""
    return ray.wait(list(flying), num_returns=len(flying), timeout=within_s)[1] if flying else []


def _largest_memory() -> int:
    """Bytes that a task may reserve on the node that has most."""
    sizes = [float(node["Resources"].get("memory", 0.0)) for node in alive_nodes()]
    return int(MAX_MEMORY_FRAC * max(sizes, default=0.0))


class _Room:
    """How many tasks may be in flight."""

    def __init__(self, num_cpus: float, limit: int | None) -> None:
        self._num_cpus = num_cpus
        self._limit = limit
        self._found = limit or MIN_IN_FLIGHT
        self._until = 0.0

    def now(self) -> int:
        if self._limit is None and time.monotonic() >= self._until:
            cpus = float(ray.cluster_resources().get("CPU", 0.0))
            slots = cpus / self._num_cpus if self._num_cpus else cpus
            self._found = max(MIN_IN_FLIGHT, int(QUEUED_PER_SLOT * slots))
            self._until = time.monotonic() + ROOM_IS_OLD_S
        return self._found
