"""How many requests one process has in flight at an endpoint: fewer when it is busy, slowly more when it is not.

Additive increase, multiplicative decrease. Processes that ask the same endpoint each find their share by themselves.
"""

from __future__ import annotations

import math
import random
import threading
import time
from dataclasses import dataclass
from typing import Protocol

RECHECK_S = 1.0
"""How often a request that waits for its turn looks whether it is still wanted."""
SPREAD_FRAC = 0.25
"""A wait that an endpoint asks for is drawn out by up to this share, so that not all go on in the same moment."""
MAX_SPREAD_S = 5.0


class Clock(Protocol):
    """Time, and waiting in it."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def date(self) -> float:
        """Seconds since 1970."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Waits; True where `stop` was set before the time was over."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def date(self) -> float:
        """See `Clock`."""
        return time.time()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """See `Clock`."""
        return stop.wait(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A request that may be sent."""

    cuts: int
    """How often the limit had been cut when it began: what is in flight together is cut for only once."""


class Throttle:
    """The requests in flight at one endpoint; shared by all threads of a process."""

    def __init__(self, *, clock: Clock | None = None, rng: random.Random | None = None) -> None:
        self.clock = clock or SystemClock()
        self.rng = rng or random.Random()
        self.limit = math.inf
        """Requests in flight at most; without bound until the endpoint is busy for the first time."""
        self.last_reply = -math.inf
        """When the endpoint last gave a reply."""
        self._in_flight = 0
        self._cuts = 0
        self._not_before = -math.inf
        self._last_said = -math.inf
        self._changed = threading.Condition()

    def enter(self, stop: threading.Event) -> Permit | None:
        """Waits until a request may be sent; None where `stop` was set meanwhile."""
        while not stop.is_set():
            with self._changed:
                pause_s = self._not_before - self.clock.now()
                if pause_s <= 0:
                    if self._in_flight < max(1, int(min(self.limit, 1e9))):
                        self._in_flight += 1
                        return Permit(cuts=self._cuts)
                    self._changed.wait(RECHECK_S)
                    continue
            self.clock.wait(stop, pause_s + self.spread_s(pause_s))
        return None

    def leave(
        self, turn: Permit, *, is_busy: bool = False, has_reply: bool = False, wait_s: float | None = None
    ) -> None:
        """Ends a turn; `wait_s` is what a busy endpoint asks of all its clients."""
        with self._changed:
            if is_busy and turn.cuts == self._cuts:
                self.limit = max(1.0, min(self.limit, float(self._in_flight)) / 2)
                self._cuts += 1
            if has_reply:
                self.limit += 1 / self.limit
                self.last_reply = self.clock.now()
            if is_busy and wait_s:
                self._not_before = max(self._not_before, self.clock.now() + wait_s)
            self._in_flight -= 1
            self._changed.notify_all()

    def spread_s(self, pause_s: float) -> float:
        """What is added to a pause that several may wait for."""
        return self.rng.uniform(0.0, min(pause_s * SPREAD_FRAC, MAX_SPREAD_S))

    def may_say(self, *, every_s: float) -> bool:
        """Whether the last line about waiting is long enough ago for the next one."""
        with self._changed:
            due = self.clock.now() - self._last_said >= every_s
            if due:
                self._last_said = self.clock.now()
            return due
