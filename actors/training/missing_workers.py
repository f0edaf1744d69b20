"""Says what the workers of trainings wait for: nodes that come, or come again, may take many minutes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from actors.cluster.waiting import workers_waited_for

EVERY_S = 30.0
LOOK_S, ENDS_WITHIN_S = 5.0, 1.0

logger = logging.getLogger(__name__)


class MissingWorkers:
    """For many threads that wait for trainings: whichever looks, a line is said now and then, and by one of them."""

    def __init__(
        self,
        worker: Mapping[str, float],
        *,
        note: Callable[[str], None],
        every_s: float = EVERY_S,
        waits_for: Callable[[Mapping[str, float]], str | None] = workers_waited_for,
    ) -> None:
        self._worker = worker
        self._note = note
        self._every_s = every_s
        self._waits_for = waits_for
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._since = 0.0
        """When all workers had their places last, as far as anybody looked."""

    @contextmanager
    def watched(self, *, look_s: float = LOOK_S) -> Iterator[None]:
        """Looks while the block runs, for who waits in a call of Ray Train and cannot look."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(look_s):
                self.look()

        watching = threading.Thread(target=look, name="missing-workers", daemon=True)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join(timeout=ENDS_WITHIN_S)

    def look(self) -> None:
        """Look where that is due, and say what is waited for."""
        now = time.monotonic()
        with self._lock:
            if self._looked is None:
                self._looked = self._since = now
            if now - self._looked < self._every_s:
                return
            self._looked = now
        try:
            missing = self._waits_for(self._worker)
        except Exception as error:  # a word for people, which fails no training
            logger.info("Ray does not say what is waited for (%s)", type(error).__name__)
            return
        if missing is None:
            self._since = now
        else:
            self._note(f"still waiting for workers of trainings after {now - self._since:.0f} s: {missing}")
