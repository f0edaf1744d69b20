"""Workers: bounded, in order where there is one, lent while a task waits, and no error or signal lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from autodp_ray.cluster.ray import Interrupted, interruptible
from autodp_ray.strategies.workers import Worker, run_all

Task = Callable[[Worker], int]


def test_results_come_in_the_order_of_the_tasks_whoever_is_first() -> None:
    def late(number: int) -> Task:
        def task(worker: Worker) -> int:
            time.sleep(0.02 * (5 - number))
            return number

        return task

    assert run_all([late(number) for number in range(5)], num_workers=5) == [0, 1, 2, 3, 4]
    assert run_all([], num_workers=2) == []


def test_one_worker_does_the_tasks_one_after_the_other() -> None:
    seen: list[str] = []

    def steps(number: int) -> Task:
        def task(worker: Worker) -> int:
            seen.append(f"{number} begins")
            time.sleep(0.001)
            seen.append(f"{number} ends")
            return number

        return task

    run_all([steps(number) for number in range(4)], num_workers=1)
    assert seen == [f"{number} {what}" for number in range(4) for what in ("begins", "ends")]


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_no_more_tasks_work_at_one_time_than_there_are_workers(num_workers: int) -> None:
    lock, working, most = threading.Lock(), [0], [0]

    def task(worker: Worker) -> int:
        for _ in range(3):
            with lock:
                working[0] += 1
                most[0] = max(most[0], working[0])
            time.sleep(0.005)
            with lock:
                working[0] -= 1
            with worker.released():
                time.sleep(0.002)
        return 0

    run_all([task] * 8, num_workers=num_workers)
    assert most[0] == num_workers


def test_a_task_that_waits_lends_its_worker_to_the_next() -> None:
    done = threading.Event()

    def waits(worker: Worker) -> int:
        with worker.released():
            assert done.wait(20), "the only worker was kept from the task that would end the wait"
        return 1

    def ends_the_wait(worker: Worker) -> int:
        done.set()
        return 2

    assert run_all([waits, ends_the_wait], num_workers=1) == [1, 2]


def test_an_error_is_raised_at_once_and_what_was_not_begun_is_not_begun() -> None:
    begun: list[int] = []

    def breaks(worker: Worker) -> int:
        raise ZeroDivisionError("a bug")

    def later(worker: Worker) -> int:
        begun.append(1)
        return 1

    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_all([breaks, *[later] * 5], num_workers=1)
    time.sleep(0.05)
    assert begun == []


def test_a_signal_ends_the_wait_for_tasks_that_still_work() -> None:
    go_on = threading.Event()
    ended: list[int] = []

    def hangs(worker: Worker) -> int:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        go_on.wait(30)
        worker.require_wanted()
        ended.append(1)
        return 1

    with pytest.raises(Interrupted), interruptible():
        run_all([hangs], num_workers=1)
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "task-0":
            thread.join(timeout=30)
    assert ended == [], "what nobody waits for goes on no further than to the next question whether it is wanted"
