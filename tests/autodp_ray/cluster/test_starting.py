"""What is said while models start."""

from __future__ import annotations

import threading

from autodp_ray.cluster.starting import STARTING_MODELS, WARMING_UP, said_while_nodes_come, said_while_starting
from autodp_ray.progress import Silent


class Told(Silent):
    """Keeps what it is told, and says when that was so many lines."""

    def __init__(self, *, enough: int) -> None:
        self.lines: list[str] = []
        self.has_enough = threading.Event()
        self._enough = enough

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        self.note(name)

    def note(self, text: str) -> None:
        self.lines.append(text)
        if len(self.lines) >= self._enough:
            self.has_enough.set()


def test_what_is_waited_for_is_said_again_and_again_until_the_models_are_there() -> None:
    told, answers = Told(enough=4), iter(["nodes", "replicas"])
    with said_while_starting(told, WARMING_UP, every_s=0.01, waits_for=lambda: next(answers, "weights")):
        assert told.has_enough.wait(timeout=20)
    said = len(told.lines)
    notes = [f"still {WARMING_UP} after 0 s: {what}" for what in ("nodes", "replicas", "weights")]
    assert told.lines[:4] == [WARMING_UP, *notes]
    threading.Event().wait(0.05)
    assert len(told.lines) == said


def test_models_that_start_soon_are_a_phase_and_nothing_more() -> None:
    told = Told(enough=1)
    with said_while_starting(told):
        pass
    assert told.lines == [STARTING_MODELS]


def test_a_ray_that_does_not_answer_fails_nothing() -> None:
    def breaks() -> str:
        raise ConnectionError

    told = Told(enough=2)
    with said_while_starting(told, every_s=0.01, waits_for=breaks):
        assert told.has_enough.wait(timeout=20)
    assert told.lines[1] == f"still {STARTING_MODELS} after 0 s"


def test_tasks_say_while_they_wait_for_nodes_and_nothing_while_they_do_not() -> None:
    told, answers = Told(enough=3), iter([None, "nodes", None, None, "other nodes", "more"])
    with said_while_nodes_come(told, every_s=0.01, waits_for=lambda: next(answers, None)):
        assert told.has_enough.wait(timeout=20)
    assert told.lines == [f"still waiting for nodes after 0 s: {what}" for what in ("nodes", "other nodes", "more")]
