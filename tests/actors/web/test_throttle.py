from __future__ import annotations

import heapq
import math
import random
import threading

from actors.web.exchange import HttpReply
from actors.web.retry import Retries, RetryLimits, passing_fault
from actors.web.throttle import Permit, Throttle
from tests.actors.web.fake_clock import FakeClock


def entered(throttle: Throttle) -> Permit:
    turn = throttle.enter(threading.Event())
    assert turn is not None
    return turn


def test_one_wave_of_busy_answers_halves_the_requests_in_flight_once() -> None:
    throttle = Throttle(clock=FakeClock())
    turns = [entered(throttle) for _ in range(32)]
    for turn in turns:
        throttle.leave(turn, is_busy=True)
    assert throttle.limit == 16
    turns = [entered(throttle) for _ in range(16)]
    for turn in turns:
        throttle.leave(turn, is_busy=True)
    assert throttle.limit == 8


def test_as_many_replies_as_fit_in_flight_make_room_for_one_more() -> None:
    throttle = Throttle(clock=FakeClock())
    turns = [entered(throttle) for _ in range(16)]
    throttle.leave(turns[0], is_busy=True)
    for turn in turns[1:]:
        throttle.leave(turn)
    assert throttle.limit == 8
    for _ in range(8):
        throttle.leave(entered(throttle), has_reply=True)
    assert 8.9 < throttle.limit < 9.0


def test_without_a_busy_answer_there_is_no_limit() -> None:
    throttle = Throttle(clock=FakeClock())
    for _ in range(5):
        throttle.leave(entered(throttle), has_reply=True)
    assert throttle.limit == math.inf


def test_the_limit_never_falls_below_one() -> None:
    throttle = Throttle(clock=FakeClock())
    for _ in range(10):
        throttle.leave(entered(throttle), is_busy=True)
    assert throttle.limit == 1


def test_what_one_request_is_asked_to_wait_all_of_them_wait() -> None:
    clock = FakeClock()
    throttle = Throttle(clock=clock, rng=random.Random(3))
    throttle.leave(entered(throttle), is_busy=True, wait_s=60.0)
    entered(throttle)
    assert 60 <= clock.time <= 65


def test_a_request_waits_until_another_one_leaves() -> None:
    throttle = Throttle()
    throttle.leave(entered(throttle), is_busy=True)
    first, order = entered(throttle), []

    def second() -> None:
        turn = entered(throttle)
        order.append("second")
        throttle.leave(turn)

    thread = threading.Thread(target=second)
    thread.start()
    order.append("first")
    throttle.leave(first)
    thread.join(5)
    assert order == ["first", "second"]


def test_who_waits_for_a_turn_gives_up_when_the_call_fails() -> None:
    throttle, stop = Throttle(), threading.Event()
    throttle.leave(entered(throttle), is_busy=True)
    entered(throttle)
    stop.set()
    assert throttle.enter(stop) is None


class _Limited:
    """20 requests in 10 s, and 429 without a header beyond."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def status(self, now: float) -> int:
        self.taken = [when for when in self.taken if when > now - 10]
        if len(self.taken) >= 20:
            return 429
        self.taken.append(now)
        return 200


def test_calls_beyond_a_rate_limit_all_get_their_reply_in_time() -> None:
    """64 calls, one after the other by their next moment, as if each had a thread of its own."""
    service, replies = _Limited(), 0
    waiting = [(0.0, number, 1) for number in range(64)]
    rng = random.Random(5)
    clock = FakeClock()
    throttle = Throttle(clock=clock, rng=rng)
    retries = Retries(name="e", patience=RetryLimits(fault_s=120, busy_s=1800), throttle=throttle)
    while waiting:
        now, number, attempts = heapq.heappop(waiting)
        clock.time = max(clock.time, now)
        if service.status(clock.time) == 200:
            replies += 1
            continue
        fault = passing_fault(HttpReply(status=429), throttle=throttle)
        heapq.heappush(waiting, (clock.time + retries._pause_s(fault, attempts), number, attempts + 1))
    assert replies == 64
    assert clock.time < 120
