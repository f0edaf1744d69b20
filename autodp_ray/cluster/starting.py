"""Says how long the models or the tasks of a command have been waiting, and for what: nodes may take many minutes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.cluster.waiting import nodes_waited_for, waited_for
from autodp_ray.progress import Progress

EVERY_S = 30.0
ENDS_WITHIN_S = 1.0
STARTING_MODELS, WARMING_UP = "starting the models", "training the model that scores rows by gradient"

log = logging.getLogger(__name__)


@contextmanager
def said_while_starting(
    progress: Progress,
    phase: str = STARTING_MODELS,
    *,
    every_s: float = EVERY_S,
    waits_for: Callable[[], str] = waited_for,
) -> Iterator[None]:
    """A phase whose progress says every so many seconds what is waited for, until the block ends."""
    progress.phase(phase)
    began = time.monotonic()

    def line() -> str:
        said, words = f"still {phase} after {time.monotonic() - began:.0f} s", _asked(waits_for)
        return said if words is None else f"{said}: {words}"

    with _said_now_and_then(progress, line, every_s=every_s):
        yield


@contextmanager
def said_while_nodes_come(
    progress: Progress, *, every_s: float = EVERY_S, waits_for: Callable[[], str | None] = nodes_waited_for
) -> Iterator[None]:
    """While the block runs, every so many seconds what its tasks wait for that no node there could hold, if they do."""
    since = time.monotonic()

    def line() -> str | None:
        nonlocal since
        words, now = _asked(waits_for), time.monotonic()
        if words is None:
            since = now
            return None
        return f"still waiting for nodes after {now - since:.0f} s: {words}"

    with _said_now_and_then(progress, line, every_s=every_s):
        yield


def _asked(waits_for: Callable[[], str | None]) -> str | None:
    """What is waited for, in words; None where Ray says nothing."""
    try:
        return waits_for()
    except Exception as error:  # a word for people, which fails no run
        log.info("Ray does not say what is waited for (%s)", type(error).__name__)
        return None


@contextmanager
def _said_now_and_then(progress: Progress, line: Callable[[], str | None], *, every_s: float) -> Iterator[None]:
    """The line where there is one, until the block ends."""
    ended = threading.Event()

    def say() -> None:
        while not ended.wait(every_s):
            said = line()
            if said is not None and not ended.is_set():
                progress.note(said)

    saying = threading.Thread(target=say, name="waiting", daemon=True)
    saying.start()
    try:
        yield
    finally:
        ended.set()
        saying.join(timeout=ENDS_WITHIN_S)
