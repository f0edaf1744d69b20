"""One application of ours on Serve, for the length of a run: found or started, asked whether it is the right one.

Knows no application; llm/server.py and screening/server.py say what is built and how it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from ray import serve

from actors.serve.app import ensure_serve
from actors.serve.sharing import hold_application, release_application

T = TypeVar("T")


class Hosted(NamedTuple):
    """Where an application is."""

    url: str
    is_held: bool
    """Whether this run holds it, and must call `release_application`."""


def host_application(
    build: Callable[[], serve.Application], *, name: str, timeout_s: float, check: Callable[[str], T]
) -> tuple[Hosted, T]:
    """The application `name`, and what `check` says of it at its URL; where that raises, it is let go of.

    Raises:
        InputError: Serve cannot be reached from all nodes.
        RunError: it failed to start, or was not ready in time.
    """
    url = f"{ensure_serve()}/{name}"
    is_held = hold_application(build, name=name, timeout_s=timeout_s)
    try:
        return Hosted(url, is_held), check(url)
    except BaseException:
        if is_held:
            release_application(name)
        raise
