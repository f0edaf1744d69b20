"""A folder that one process at a time works in; the lock goes with the process, however it ends.

A local folder is held by a lock file, one at a URI by a lease.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import filelock

from actors.storage.lease import lease
from actors.storage.storage import PRIVATE_FILE, Storage
from operators.contract.errors import InputError


@contextmanager
def folder_lock(folder: Storage, name: str, *, busy: str) -> Iterator[None]:
    """Hold a folder by what is called `name` in it.

    Raises: InputError, which says `busy`, where another process holds it.
    """
    if not folder.is_local:
        with lease(folder.folder(name), busy=busy):
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
