"""A folder of an object store that one process at a time works in.

Such stores have no locks that go with a process. Whoever wants the folder writes a claim of its own and looks whether
it stands alone; whoever finds another one takes its own back. The holder changes its claim every few seconds. A claim
that stays as it is for a minute is a killed process's, and goes; so does at once one that a process of this machine
made which is gone, as a lock file on its disk tells. No clocks are compared.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from actors.storage.storage import PRIVATE_FILE, Storage
from operators.contract.errors import InputError

log = logging.getLogger(__name__)

RENEW_S = 10.0
DEAD_AFTER_S = 60.0
"""A holder whose claim has not changed for so long is gone: renewing it has failed several times."""
LOOK_S = 1.0
FORGOTTEN_AFTER_S = 24 * 3600.0
"""How long the lock file of a killed process may tell that it is gone."""
_CLAIM = re.compile(r"[0-9a-f]{32}")


@contextmanager
def lease(claims: Storage, *, busy: str) -> Iterator[None]:
    """Hold what the folder `claims` stands for.

    Raises: InputError, which says `busy`, where another process holds it.
    """
    own = _Claim(folder=claims, name=uuid.uuid4().hex)
    _forget_the_killed()
    with _local_lock(own.name):
        own.write("0")
        try:
            while others := [name for name in _names(claims) if name != own.name]:
                own.withdraw()
                for name in others:
                    _outlive(_Claim(folder=claims, name=name), busy)
                time.sleep(random.uniform(0, LOOK_S))  # so that two that came at once do not meet again
                own.write("0")
            with _renewed(own):
                yield
        finally:
            own.withdraw()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    folder: Storage
    name: str

    def write(self, text: str) -> None:
        self.folder.write_text(self.name, text)

    def text(self) -> str | None:
        """What it says; None where it is gone."""
        try:
            return self.folder.read_text(self.name)
        except FileNotFoundError:
            return None

    def withdraw(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.folder.delete(self.name)


def _names(claims: Storage) -> list[str]:
    return [name for name in claims.names() if _CLAIM.fullmatch(name)]


def _outlive(claim: _Claim, busy: str) -> None:
    """Return once another's claim is gone, or was of a process that is.

    Raises: InputError where that process lives.
    """
    if _lives_here(claim.name) is False:
        claim.withdraw()
    first = claim.text()
    if first is not None:
        log.warning("another process has a claim on %s; looking for a minute whether it lives", claim.folder.shown)
    started = time.monotonic()
    while (text := claim.text()) is not None:
        if text != first or _lives_here(claim.name):
            raise InputError(busy)
        if time.monotonic() - started > DEAD_AFTER_S:
            claim.withdraw()
        time.sleep(LOOK_S)


@contextmanager
def _renewed(claim: _Claim) -> Iterator[None]:
    """Changes the claim every few seconds, as long as it is there."""
    done = threading.Event()

    def renew() -> None:
        number = 0
        while not done.wait(RENEW_S):
            number += 1
            try:
                if claim.text() is None:
                    return
                claim.write(str(number))
            except OSError as error:  # the next one may do; after a minute others take us for dead
                log.warning("the claim on %s could not be renewed: %s", claim.folder.shown, error)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _local_lock(name: str) -> Iterator[None]:
    path = _local_path(name)
    lock = filelock.FileLock(path, mode=PRIVATE_FILE)
    with lock:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lives_here(name: str) -> bool | None:
    """Whether the process that made a claim lives; None where it was not made on this machine."""
    path = _local_path(name)
    if not path.exists():
        return None
    try:
        with filelock.FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
            return False
    except filelock.Timeout:
        return True


def _forget_the_killed() -> None:
    """Delete the lock files of processes that were killed long ago: without one a claim is looked at for a minute."""
    for path in Path(tempfile.gettempdir()).glob("autodp-*.lock"):
        name = path.stem.removeprefix("autodp-")
        with contextlib.suppress(OSError):  # another user's, or gone by now
            if _CLAIM.fullmatch(name) and time.time() - path.stat().st_mtime > FORGOTTEN_AFTER_S:
                _lives_here(name)


def _local_path(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"autodp-{name}.lock"
