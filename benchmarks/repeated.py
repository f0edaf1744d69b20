"""Figures that were measured several times, and how steps are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypedDict

MIN_RUNS = 3
LONG_S = 600.0
"""A step that takes longer than this is run once."""

Clock = Callable[[], float]


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


def timed(step: Callable[[], object], *, runs: int = MIN_RUNS, clock: Clock = time.perf_counter) -> Spread:
    """Seconds of a step over several runs, or of one where that took more than ten minutes.

    `time.process_time` as the clock leaves out what else the machine does, and the step's child processes.
    """
    taken: list[float] = []
    while len(taken) < runs and not (taken and taken[0] > LONG_S):
        started = clock()
        step()
        taken.append(clock() - started)
    return spread(taken)
