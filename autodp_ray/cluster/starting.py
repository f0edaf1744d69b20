"""Says how long the models of a command have been starting, and what they wait for: nodes may take many minutes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.cluster.waiting import waited_for
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
    began, ended = time.monotonic(), threading.Event()

    def say() -> None:
        while not ended.wait(every_s):
            said = f"still {phase} after {time.monotonic() - began:.0f} s"
            try:
                said = f"{said}: {waits_for()}"
            except Exception as error:  # a word for people, which fails no run
                log.info("Ray does not say what is waited for (%s)", type(error).__name__)
            if not ended.is_set():
                progress.note(said)

    saying = threading.Thread(target=say, name="starting", daemon=True)
    saying.start()
    try:
        yield
    finally:
        ended.set()
        saying.join(timeout=ENDS_WITHIN_S)
