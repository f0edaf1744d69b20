"""Wall time by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from actors.cluster.metrics import PHASE_SECONDS


class RunClock:
    """Wall seconds by phase."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.phases: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - started
            for phase, seconds in self.phases.items():  # also of those that were over before Ray was there
                PHASE_SECONDS.set(seconds, phase)

    @property
    def total(self) -> float:
        return time.monotonic() - self.started
