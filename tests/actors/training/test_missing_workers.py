"""What is said while trainings wait for places for their workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from actors.training.missing_workers import MissingWorkers

WORKER = {"CPU": 1.0}


def test_whoever_looks_a_line_is_said_now_and_then_and_none_while_all_have_places() -> None:
    answers = iter([None, "nodes", None, "nodes"])
    said: list[str] = []
    missing = MissingWorkers(WORKER, note=said.append, every_s=0.02, waits_for=lambda _: next(answers, None))

    def look_for_a_while(_: int) -> None:
        for _ in range(20):
            missing.look()
            time.sleep(0.01)

    with ThreadPoolExecutor(max_workers=4) as threads:
        list(threads.map(look_for_a_while, range(4)))
    assert said == ["still waiting for workers of trainings after 0 s: nodes"] * 2


def test_who_cannot_look_is_watched_until_the_wait_is_over() -> None:
    heard = threading.Event()
    missing = MissingWorkers(WORKER, note=lambda _: heard.set(), every_s=0.0, waits_for=lambda _: "nodes")
    with missing.watched(look_s=0.01):
        assert heard.wait(timeout=20)
    heard.clear()
    assert not heard.wait(timeout=0.05)


def test_a_ray_that_does_not_answer_fails_no_training() -> None:
    def breaks(worker: Mapping[str, float]) -> str:
        raise ConnectionError

    said: list[str] = []
    missing = MissingWorkers(WORKER, note=said.append, every_s=0.0, waits_for=breaks)
    missing.look()
    missing.look()
    assert said == []
