"""A bounded number of workers on a list of tasks; a task that waits for another one's result releases its worker.

With one worker tasks run one after the other, in their order. Knows no Ray and no strategies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(BaseException):
    """Ends a task whose result nobody waits for any more."""


@dataclass(slots=True)
class _Result(Generic[T]):
    value: T | None = None
    error: BaseException | None = None


class Worker:
    """What a task is run by; of several tasks that want one, the earliest of the list gets it."""

    def __init__(self, pool: _Pool, place: int) -> None:
        self._pool = pool
        self._place = place

    @contextmanager
    def released(self) -> Iterator[None]:
        """Release this task's worker while it waits, and take one again afterwards."""
        self._pool.give(self._place)
        try:
            yield
        finally:
            self._pool.take(self._place)

    def require_wanted(self) -> None:
        """Raises: Stopped where nobody waits for the task any more: what fails in it then failed of being stopped."""
        self._pool.require_running()


def run_all(tasks: Sequence[Callable[[Worker], T]], *, num_workers: int) -> list[T]:
    """The results of all tasks, in their order.

    Raises: what the earliest task raises that raised. Nobody waits then for tasks under way, or when a signal's handler
    raises in this thread: they end with the process, or at the next moment they want a worker.
    """
    pool = _Pool(num_workers, num_tasks=len(tasks))
    results: list[_Result[T]] = [_Result() for _ in tasks]

    def work(place: int) -> None:
        try:
            pool.take(place)
            results[place].value = tasks[place](Worker(pool, place))
        except BaseException as error:  # it is raised in the thread that waits for the result
            results[place].error = error
        finally:
            pool.finish(place, is_failure=results[place].error is not None)

    for place in range(len(tasks)):
        threading.Thread(target=work, args=(place,), name=f"task-{place}", daemon=True).start()
    try:
        pool.wait()
    finally:
        pool.stop()
    for result in results:
        if result.error is not None and not isinstance(result.error, Stopped):
            raise result.error
    return [result.value for result in results]  # type: ignore[misc] # every task has ended without an error


class _Pool:
    """Who has a worker and who wants one."""

    def __init__(self, num_workers: int, *, num_tasks: int) -> None:
        self._free = num_workers
        self._wanting = set(range(num_tasks))
        self._unfinished = set(range(num_tasks))
        self._is_stopped = False
        self._changed = threading.Condition()

    def take(self, place: int) -> None:
        with self._changed:
            self._wanting.add(place)
            self._changed.wait_for(lambda: self._is_stopped or (self._free > 0 and min(self._wanting) == place))
            self.require_running()
            self._wanting.discard(place)
            self._free -= 1
            self._changed.notify_all()

    def give(self, place: int) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def finish(self, place: int, *, is_failure: bool) -> None:
        with self._changed:
            self._unfinished.discard(place)
            self._is_stopped |= is_failure
            self._free += 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Until all tasks are done, or one has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or not self._unfinished)

    def require_running(self) -> None:
        if self._is_stopped:
            raise Stopped

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
