"""A folder that one process at a time works in; the lock goes with the process, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import filelock

from actors.storage.storage import PRIVATE_FILE, Storage
from operators.contract.errors import InputError


@contextmanager
def folder_lock(folder: Storage, name: str, *, busy: str) -> Iterator[None]:
    """Hold a local folder by a lock file in it.

    A folder at a URI has no lock: object stores offer none that a killed process would give back.

    Raises: InputError, which says `busy`, where another process holds it.
    """
    if not folder.is_local:
        yield
        return
    lock = filelock.FileLock(folder.path(name), timeout=0, mode=PRIVATE_FILE)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(busy) from None
    try:
        yield
    finally:
        lock.release()
