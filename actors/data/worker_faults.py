"""Faults of workers: they come back as values, and faults of Ray itself as ours.

Ray's own wrapping of an error loses its type and prints what it quotes, which may be a row.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import ray.exceptions

from actors.storage.full_disk import NO_SPACE, full_disk_line
from operators.contract.errors import AutoDPError, RunError

T = TypeVar("T")


def attempt(step: Callable[[], T]) -> T | AutoDPError:
    """The step's result, or its error as a value; one of unknown kind is told by type and line alone."""
    try:
        return step()
    except AutoDPError as error:
        return error
    except Exception as error:
        if (full := full_disk_line(error)) is not None:
            return RunError(full)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
        return RunError(f"{where} (its message is left out: it may quote a row)")


def taken(result: T | AutoDPError, name: str) -> T:
    """The result of a worker.

    Raises: the error that it is, with the name of the work before its message.
    """
    if isinstance(result, AutoDPError):
        raise type(result)(f"{name}: {result}")
    return result


@contextmanager
def faults_of_ray(name: str) -> Iterator[None]:
    """Raises: RunError where Ray could not do the work, as when a worker died again and again."""
    try:
        yield
    except ray.exceptions.OutOfDiskError as error:
        place = " of a node, on which Ray puts what its memory cannot hold"
        raise RunError(f"{name}: {NO_SPACE.format(place=place)}") from error
    except ray.exceptions.RayError as error:
        raise RunError(f"{name} failed in Ray ({type(error).__name__}); see the logs of the Ray session") from error
