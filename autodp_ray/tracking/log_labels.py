"""Whose a line of the log is: the run of this process, and the strategy that the thread works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_run: list[str] = []
"""The last is the run of this process, which all its threads share."""
_strategy: ContextVar[str] = ContextVar("strategy", default="")


@contextmanager
def lines_of_run(run_id: str) -> Iterator[None]:
    """Lines that are written meanwhile are the run's."""
    _run.append(run_id)
    try:
        yield
    finally:
        _run.pop()


@contextmanager
def lines_of_strategy(strategy: str) -> Iterator[None]:
    """Lines that this thread writes meanwhile are the strategy's."""
    token = _strategy.set(strategy)
    try:
        yield
    finally:
        _strategy.reset(token)


def log_labels() -> dict[str, str]:
    """`run_id` and `strategy`, where there are some."""
    found = {"run_id": _run[-1] if _run else "", "strategy": _strategy.get()}
    return {name: value for name, value in found.items() if value}
