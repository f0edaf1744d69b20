from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

import pytest

from actors.web.exchange import HttpReply
from actors.web.retry import GaveUpError, PassingFaultError, Retries, RetryLimits, StoppedError, passing_fault
from actors.web.throttle import Throttle
from tests.actors.web.fake_clock import FakeClock


class Service:
    """Answers by a function of the time."""

    def __init__(self, status_at: Callable[[float], int], *, headers: dict[str, str] | None = None) -> None:
        self.clock = FakeClock()
        self.throttle = Throttle(clock=self.clock, rng=random.Random(1))
        self.asked: list[float] = []
        self._status_at = status_at
        self._headers = headers or {}

    def attempt(self) -> str:
        self.asked.append(self.clock.time)
        status = self._status_at(self.clock.time)
        if status != 200:
            raise passing_fault(HttpReply(status=status, headers=self._headers), throttle=self.throttle)
        return "reply"

    def run(self, *, stop: threading.Event | None = None, **patience: object) -> str:
        given = RetryLimits(**{"fault_s": 120.0, "busy_s": 1800.0, **patience})  # type: ignore[arg-type]
        retries = Retries(name="the endpoint", patience=given, throttle=self.throttle)
        return retries.run(self.attempt, stop=stop or threading.Event(), on_fault=lambda: None)


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize("busy_s", [15.0, 300.0, 1500.0])
def test_an_endpoint_that_is_busy_for_minutes_without_a_header_is_waited_for(status: int, busy_s: float) -> None:
    service = Service(lambda now: status if now < busy_s else 200)
    assert service.run() == "reply"
    assert service.clock.time < busy_s + 70


def test_what_the_endpoint_asks_to_wait_is_kept_in_full() -> None:
    service = Service(lambda now: 429 if now < 60 else 200, headers={"retry-after": "60"})
    assert service.run() == "reply"
    assert len(service.asked) == 2
    assert 60 <= service.asked[1] <= 60 + 2 * 5.0 + 1


def test_a_busy_endpoint_is_given_up_after_a_time_and_not_after_a_count() -> None:
    service = Service(lambda now: 429)
    with pytest.raises(GaveUpError, match="at last: status 429"):
        service.run(busy_s=600.0)
    assert 400 < service.clock.time <= 600
    assert len(service.asked) > 10


def test_a_wait_beyond_all_patience_is_told_at_once() -> None:
    service = Service(lambda now: 429, headers={"retry-after": "86400"})
    with pytest.raises(GaveUpError, match=r"in 1 attempts.*asks to wait 86400 s"):
        service.run()
    assert service.clock.pauses == []


def test_other_faults_are_repeated_for_a_shorter_time() -> None:
    service = Service(lambda now: 500)
    with pytest.raises(GaveUpError, match="at last: status 500"):
        service.run()
    assert service.clock.time <= 120


def test_a_count_bounds_the_attempts_where_one_is_given() -> None:
    service = Service(lambda now: 503)
    with pytest.raises(GaveUpError, match="in 3 attempts"):
        service.run(max_retries=2)
    assert len(service.asked) == 3


def test_pauses_are_spread_over_their_whole_range() -> None:
    firsts = []
    for seed in range(200):
        service = Service(lambda now: 500)
        service.throttle.rng = random.Random(seed)
        with pytest.raises(GaveUpError):
            service.run(max_retries=1)
        firsts += service.clock.pauses
    assert min(firsts) < 0.1
    assert max(firsts) > 0.9
    assert max(firsts) <= 1.0


def test_patience_with_a_busy_endpoint_begins_anew_with_each_reply_that_it_gives_to_others() -> None:
    service = Service(lambda now: 429 if now < 3000 else 200)

    def others(now: float) -> int:
        service.throttle.last_reply = now - 10
        return 429 if now < 3000 else 200

    service._status_at = others
    assert service.run(busy_s=200.0) == "reply"


def test_nobody_waits_for_a_call_that_has_failed() -> None:
    service, stop = Service(lambda now: 503), threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        service.run(stop=stop)


def test_a_long_wait_is_told_in_one_line_and_not_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(lambda now: 429 if now < 200 else 200)
    with caplog.at_level(logging.INFO, logger="actors"):
        service.run()
    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 4
    assert lines[0].startswith("waiting for the endpoint: status 429; the next attempt in ")
    assert "retry_busy_for_s" in lines[0]


def test_faults_say_whether_the_endpoint_is_busy() -> None:
    throttle = Throttle(clock=FakeClock())
    fault = passing_fault(HttpReply(status=429, headers={"retry-after": "3"}), throttle=throttle)
    assert (fault.is_busy, fault.wait_s, fault.status) == (True, 3.0, "status 429")
    assert isinstance(fault, PassingFaultError)
    assert not passing_fault(HttpReply(status=500), throttle=throttle).is_busy
