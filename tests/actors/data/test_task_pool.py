"""Jobs on plain Ray tasks, on a real local Ray."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import ray

from actors.data import task_pool
from actors.data.task_pool import TaskNeeds, run_tasks
from operators.contract.errors import EndpointError, RunError

NEEDS = TaskNeeds(num_cpus=0.5)


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 2:
        raise EndpointError("nobody answers")
    return number


def quote_a_row(number: int) -> int:
    raise ValueError(f"the secret text of row {number}")


def die_once(folder: Path, number: int) -> int:
    """The first process that does the third job dies of it."""
    if number == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    return number


def die(number: int) -> int:
    os._exit(number)


def leave_traces(folder: Path, number: int) -> int:
    for moment in range(100 if number else 1):
        (folder / f"{number}-{moment}").touch()
        time.sleep(0.05)
    return number


@pytest.mark.parametrize("max_in_flight", [1, 3, None])
def test_every_job_is_done_once_whatever_is_in_flight(local_ray: None, max_in_flight: int | None) -> None:
    found = list(run_tasks(range(20), square, name="squares", needs=NEEDS, max_in_flight=max_in_flight))
    assert sorted(found) == [(number, number * number) for number in range(20)]
    assert list(run_tasks([], square, name="squares", needs=NEEDS, max_in_flight=max_in_flight)) == []


def test_jobs_are_taken_as_there_is_room(local_ray: None) -> None:
    jobs = itertools.count(1)
    found = run_tasks(jobs, square, name="squares", needs=NEEDS, max_in_flight=3)
    for _ in range(7):
        next(found)
    assert next(jobs) <= 7 + 3 + 1
    found.close()  # type: ignore[attr-defined] # a generator


@pytest.mark.parametrize(
    ("work", "kind", "said"),
    [
        (refuse, EndpointError, r"^asking: nobody answers$"),
        (quote_a_row, RunError, r"^asking: ValueError at .*test_task_pool.py:\d+"),
        (die, RunError, r"^asking failed in Ray"),
    ],
)
def test_a_fault_comes_as_what_it_is_and_quotes_no_row(
    local_ray: None, work: Callable[[int], int], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        list(run_tasks(range(1, 5), work, name="asking", needs=NEEDS))
    assert "secret" not in str(caught.value)


def test_the_job_of_a_worker_that_dies_is_done_again(local_ray: None, tmp_path: Path) -> None:
    found = run_tasks(range(6), partial(die_once, tmp_path), name="living", needs=NEEDS, max_in_flight=2)
    assert sorted(found) == [(number, number) for number in range(6)]
    assert (tmp_path / "died").exists()


def test_nobody_works_on_where_the_caller_has_stopped(local_ray: None, tmp_path: Path) -> None:
    found = run_tasks(range(8), partial(leave_traces, tmp_path), name="writing", needs=NEEDS, max_in_flight=4)
    assert next(found) == (0, 0)
    found.close()  # type: ignore[attr-defined] # a generator
    left = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == left


def test_short_jobs_are_left_to_end_where_the_caller_has_stopped(
    local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Ray 2.60, a driver that cancels jobs of milliseconds sooner or later ends without a word."""
    monkeypatch.setattr(task_pool, "ENDS_ALONE_WITHIN_S", 60.0)  # on a busy machine workers start late
    cancelled: list[object] = []
    monkeypatch.setattr(ray, "cancel", cancelled.append)
    for num_taken in range(1, 20):
        found = run_tasks(range(40), square, name="squares", needs=NEEDS, max_in_flight=8)
        for _ in range(num_taken):
            next(found)
        found.close()  # type: ignore[attr-defined] # a generator
    assert cancelled == []


def test_a_task_that_wants_more_memory_than_any_node_has_gets_what_there_is(local_ray: None) -> None:
    needs = TaskNeeds(num_cpus=0.5, memory_bytes=2**60)
    assert list(run_tasks([3], square, name="squares", needs=needs)) == [(0, 9)]
