"""Tries again what may be better next time: bounded by time, with full jitter, and as patient as an endpoint asks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from actors.web.exchange import HttpReply
from actors.web.throttle import Throttle
from actors.web.waiting import asked_to_wait_s

BACKOFF_S = 0.5
MAX_BACKOFF_S = 60.0
LONG_WAIT_S = 10.0
"""Pauses from here on are logged."""
SAY_EVERY_S = 60.0
BUSY = frozenset({429, 498, 503, 529})
"""Statuses of an endpoint that has too much to do."""
PASSING = frozenset({408, 409, 424, 425, *BUSY})
"""Statuses that may be another one next time; so may those of 500 and more."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class PassingFaultError(Exception):
    """An answer that may be better next time."""

    def __init__(self, status: str, *, is_busy: bool = False, wait_s: float | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.is_busy = is_busy
        self.wait_s = wait_s
        """What the endpoint asks to wait, None where it does not say."""


class GaveUpError(Exception):
    """It did not get better; the message says after how many attempts, and what was the last answer."""


class StoppedError(Exception):
    """Nobody wants the answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """How long an attempt is repeated."""

    fault_s: float
    """After the first fault of a request: no connection, no reply in time, a server's own error."""
    busy_s: float
    """After the last reply of an endpoint that asks for fewer requests."""
    max_retries: int | None = None
    """Attempts after the first, whatever the time; None: time alone decides."""


def passing_fault(reply: HttpReply, *, throttle: Throttle) -> PassingFaultError:
    """The fault of a reply whose status may pass."""
    wait_s = asked_to_wait_s(reply.headers, now=throttle.clock.date())
    return PassingFaultError(f"status {reply.status}", is_busy=reply.status in BUSY, wait_s=wait_s)


def is_passing(status: int) -> bool:
    """Whether a status may be another one next time."""
    return status >= 500 or status in PASSING


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """Repeats attempts at one endpoint."""

    name: str
    """Of the endpoint, as errors and log lines may show it."""
    patience: RetryLimits
    throttle: Throttle

    def run(self, attempt: Callable[[], T], *, stop: threading.Event, on_fault: Callable[[], None]) -> T:
        """What the first attempt that succeeds returns; an attempt that may be repeated raises PassingFaultError.

        Raises:
            GaveUpError: no attempt succeeded in time.
            StoppedError: `stop` was set.
        """
        first_fault: float | None = None
        num_attempts = 0
        while True:
            num_attempts += 1
            try:
                return self._turn(attempt, stop=stop)
            except PassingFaultError as fault:
                on_fault()
                now = self.throttle.clock.now()
                first_fault = now if first_fault is None else first_fault
                pause_s = self._pause_s(fault, num_attempts)
                self._require_patience(fault, num_attempts=num_attempts, first_fault=first_fault, until=now + pause_s)
                self._say(fault, pause_s=pause_s, waited_s=now - first_fault)
            if self.throttle.clock.wait(stop, pause_s):
                raise StoppedError

    def _turn(self, attempt: Callable[[], T], *, stop: threading.Event) -> T:
        turn = self.throttle.enter(stop)
        if turn is None:
            raise StoppedError
        try:
            result = attempt()
        except PassingFaultError as fault:
            self.throttle.leave(turn, is_busy=fault.is_busy, wait_s=fault.wait_s)
            raise
        except BaseException:
            self.throttle.leave(turn)
            raise
        self.throttle.leave(turn, has_reply=True)
        return result

    def _pause_s(self, fault: PassingFaultError, num_attempts: int) -> float:
        """At least what the endpoint asks for; else anything up to a bound that doubles with each attempt."""
        if fault.wait_s is not None:
            return fault.wait_s + self.throttle.spread_s(max(fault.wait_s, BACKOFF_S))
        return self.throttle.rng.uniform(0.0, min(BACKOFF_S * 2.0 ** min(num_attempts, 20), MAX_BACKOFF_S))

    def _require_patience(
        self, fault: PassingFaultError, *, num_attempts: int, first_fault: float, until: float
    ) -> None:
        """Raises: GaveUpError where the next attempt would come too late."""
        asked = self.patience
        since = max(first_fault, self.throttle.last_reply) if fault.is_busy else first_fault
        late = until - since > (asked.busy_s if fault.is_busy else asked.fault_s)
        if late or (asked.max_retries is not None and num_attempts > asked.max_retries):
            wait = "" if fault.wait_s is None else f", which asks to wait {fault.wait_s:.0f} s"
            raise GaveUpError(f"did not answer in {num_attempts} attempts, at last: {fault.status}{wait}") from None

    def _say(self, fault: PassingFaultError, *, pause_s: float, waited_s: float) -> None:
        if max(pause_s, waited_s) >= LONG_WAIT_S and self.throttle.may_say(every_s=SAY_EVERY_S):
            limit = self.patience.busy_s if fault.is_busy else self.patience.fault_s
            logger.info(
                "waiting for %s: %s; the next attempt in %.0f s, given up after %.0f s (%s)",
                *(self.name, fault.status, pause_s, limit),
                "retry_busy_for_s" if fault.is_busy else "retry_for_s",
            )
