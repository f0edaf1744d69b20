"""A step is done once: for all threads that want it, for all attempts at a run, and for all drivers of one cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from actors.cache.cache_client import StrategyCacheClient
from actors.storage.storage import Storage
from autodp_ray.cached_step import CachedStep, Steps, cached_outcome
from autodp_ray.journal import Journal
from operators.contract.errors import RunError


class Length(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    metres: int


def step(obtain: Callable[[], int], key: str = "k") -> CachedStep[int]:
    return CachedStep(key=key, obtain=obtain, describe=lambda value: {"value": value})


def fails() -> int:
    raise RunError("not now")


def test_a_step_is_obtained_once_and_a_resumed_run_reads_its_event(tmp_path: Path) -> None:
    run = Storage.at(tmp_path)
    assert Steps("number", journal=Journal(run)).payload(step(lambda: 3)) == {"value": 3}
    resumed = Steps("number", journal=Journal(run))
    assert resumed.knows("k")
    assert resumed.payload(step(fails)) == {"value": 3}
    assert not resumed.knows("other")


def test_a_step_that_raises_leaves_no_event_and_may_be_tried_again(tmp_path: Path) -> None:
    journal = Journal(Storage.at(tmp_path))
    steps = Steps("number", journal=journal)
    for ask in (steps.payload, steps.value):
        with pytest.raises(RunError, match="not now"):
            ask(step(fails))
    assert journal.count("number") == 0
    assert steps.payload(step(lambda: 4)) == {"value": 4}


def test_a_value_is_obtained_each_time_and_noted_once(tmp_path: Path) -> None:
    journal = Journal(Storage.at(tmp_path))
    steps = Steps("number", journal=journal)
    assert [steps.value(step(lambda: 1)) for _ in range(2)] == [1, 1]
    assert journal.count("number") == 1


def test_threads_that_want_one_step_wait_for_the_first_and_lend_their_workers(tmp_path: Path) -> None:
    steps = Steps("number", journal=Journal(Storage.at(tmp_path)))
    all_there, obtained, lent = threading.Semaphore(0), [0], [0]

    @contextmanager
    def waiting() -> Iterator[None]:
        lent[0] += 1
        all_there.release()
        yield

    def obtain() -> int:
        obtained[0] += 1
        assert all(all_there.acquire(timeout=20) for _ in range(2)), "the two others wait"
        return 5

    one = CachedStep(key="k", obtain=obtain, describe=lambda value: {"value": value}, release_worker=waiting)
    with ThreadPoolExecutor(max_workers=3) as pool:
        found = [each.result() for each in [pool.submit(steps.payload, one) for _ in range(3)]]
    assert found == [{"value": 5}] * 3
    assert (obtained[0], lent[0]) == (1, 2)


def test_drivers_share_outcomes_and_what_another_version_wrote_is_computed_anew(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    one, two = (StrategyCacheClient(storage, holder=name) for name in ("one", "two"))

    def length(client: StrategyCacheClient, metres: int) -> int:
        return cached_outcome(
            client, "k", lambda: Length(metres=metres), kind=Length, release_worker=lambda: pytest.fail("nobody waits")
        ).metres

    assert (length(one, 7), length(two, 8)) == (7, 7)
    one.set_aside_outcome("k")
    one.outcome("k", lambda: '{"feet": 23}')
    assert length(two, 9) == 9
    one.close()
    two.close()
