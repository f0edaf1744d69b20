"""The folder that a command about screeners writes to: empty before, and one command's at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from actors.storage.folder_lock import folder_lock
from actors.storage.storage import Storage
from autodp_ray.run_contents import LOCK
from operators.contract.errors import InputError


def require_empty_output(target: Storage) -> None:
    """Raises: InputError where something lies there but the lock of a command that was killed."""
    if any(name != LOCK for name in target.names()):
        raise InputError(f"{target.location} is not empty; choose another --output, or delete it")


@contextmanager
def held_output(target: Storage) -> Iterator[None]:
    """Hold the folder; one that is whole at the end holds no lock any more.

    Raises: InputError where another command holds it.
    """
    busy = f"--output {target.shown} is in use by another command; wait for it, or choose another --output"
    with folder_lock(target, LOCK, busy=busy):
        yield
        target.delete(LOCK)
