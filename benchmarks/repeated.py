"""Figures that were measured several times, and how steps are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypedDict, TypeVar

MIN_RUNS = 3
LONG_S = 600.0
"""A step that takes longer than this is run once."""

T = TypeVar("T")
ClockFn = Callable[[], float]


class Spread(TypedDict):
    """Median, minimum and maximum of a figure over its runs; one run says so."""

    median: float
    min: float
    max: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """The figures of several runs as one."""
    return Spread(median=median(values), min=min(values), max=max(values), runs=len(values))


def rate(amount: float, seconds: Spread) -> Spread:
    """Amount per second from the seconds that it took."""
    return Spread(
        median=amount / seconds["median"],
        min=amount / seconds["max"],
        max=amount / seconds["min"],
        runs=seconds["runs"],
    )


def scaled(values: Spread, factor: float) -> Spread:
    """The same figures in another unit."""
    return Spread(
        median=values["median"] * factor, min=values["min"] * factor, max=values["max"] * factor, runs=values["runs"]
    )


def repeated(step: Callable[[], T], *, runs: int = MIN_RUNS) -> list[T]:
    """What a step gives in each of several runs, or in one where that took more than ten minutes."""
    started = time.monotonic()
    first = step()
    is_long = time.monotonic() - started > LONG_S
    return [first] if is_long else [first, *(step() for _ in range(runs - 1))]


def timed(step: Callable[[], object], *, runs: int = MIN_RUNS, clock: ClockFn = time.perf_counter) -> Spread:
    """Seconds of a step.

    `time.process_time` as the clock leaves out what else the machine does, and the step's child processes.
    """

    def seconds() -> float:
        started = clock()
        step()
        return clock() - started

    return spread(repeated(seconds, runs=runs))
