"""Wraps unexpected exceptions as RunError: their kind and place, without their message, which may quote a row."""

from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path

from actors.storage.full_disk import full_disk_line
from operators.contract.errors import RunError

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("operators", "actors", "autodp_ray")
STORAGE = "actors/storage/storage.py:"
"""Errors that come from there are worded by an object store, which knows names of files and not what is in them."""

log = logging.getLogger(__name__)


def as_run_error(error: Exception) -> RunError:
    """One line about an error of an unexpected kind; the way to it is logged at INFO, which --verbose shows."""
    log.info("an error that nobody foresaw:\n%s", "\n".join(_chain(error)))
    if (full := full_disk_line(error)) is not None:
        return RunError(full)
    ours = _place(error)
    is_missing = isinstance(error, FileNotFoundError)
    if isinstance(error, OSError) and not is_missing and not error.strerror and ours.startswith(STORAGE):
        return RunError(f"the storage failed: {error}; see that it is reachable, and the credentials for it")
    place = f" at {ours}" if ours else ""
    return RunError(f"{_what(error)}{place}; the same command with autodp --verbose shows the way there")


def _what(error: Exception) -> str:
    """The kind of an error, and its message where the operating system, Ray or sqlite worded it and not the data."""
    from ray.exceptions import RayError  # so that help loads no Ray

    kind = type(error).__name__
    if isinstance(error, RayError):
        return f"Ray failed ({kind}); see the logs of the Ray session"
    if isinstance(error, OSError) and error.strerror:
        return f"{kind}: {error.strerror}" + (f" ({error.filename})" if error.filename else "")
    if isinstance(error, sqlite3.Error):
        return f"{kind}: {error}"
    return f"{kind} (its message is left out: it may quote a row)"


def _place(error: Exception) -> str:
    """The innermost line of this project that the error went through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(_ROOT) and file.relative_to(_ROOT).parts[0] in _PACKAGES:
            return f"{file.relative_to(_ROOT)}:{frame.lineno}"
    return ""


def _chain(error: BaseException | None) -> Iterator[str]:
    """The tracebacks of an error and of what led to it, the latter first, without their messages."""
    if error is not None:
        yield from _chain(error.__cause__ or error.__context__)
        yield "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
