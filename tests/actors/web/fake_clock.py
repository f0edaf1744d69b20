"""Time that passes only where somebody waits."""

from __future__ import annotations

import threading


class FakeClock:
    """Waits without waiting, and remembers the pauses."""

    def __init__(self, *, date: float = 1_700_000_000.0) -> None:
        self.time = 0.0
        self.began = date
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.time

    def date(self) -> float:
        return self.began + self.time

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.time += max(0.0, seconds)
        return stop.is_set()
