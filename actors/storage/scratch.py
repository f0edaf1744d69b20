"""Folders of one machine for files that nobody needs once the processes that work in them are gone.

Whoever works in one holds its lock, which goes with the process. One that was killed leaves its folder behind, perhaps
with a checkpoint or rows in it: the next that wants a folder on this machine deletes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "autodp-scratch-"
_ALONE = fcntl.LOCK_EX | fcntl.LOCK_NB
_OPENED_AS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextmanager
def scratch_folder(name: str | None = None) -> Iterator[Path]:
    """A new private folder below TMPDIR, deleted at the end; with a name, one folder for all that ask for it at a time.

    The last of those deletes it.
    """
    root = Path(tempfile.gettempdir())
    _sweep(root)
    folder, lock = _held(root, name)
    try:
        yield folder
    finally:
        if not _is_held_by_others(lock):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _held(root: Path, name: str | None) -> tuple[Path, int]:
    """A folder and the lock on it; where another process deletes it in between, another one."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root)) if name is None else root / f"{PREFIX}{name}"
        folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, _OPENED_AS)
            with contextlib.suppress(OSError):  # a filesystem without locks: there nothing is ever found unheld
                fcntl.flock(lock, fcntl.LOCK_SH)
            if folder.exists() and os.path.samestat(folder.stat(), os.fstat(lock)):
                return folder, lock
            os.close(lock)


def _sweep(root: Path) -> None:
    """Deletes what killed processes left."""
    for folder in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or gone by now
            lock = os.open(folder, _OPENED_AS)
            try:
                fcntl.flock(lock, _ALONE)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _is_held_by_others(lock: int) -> bool:
    """Whether others hold it beside us, as far as the filesystem can say."""
    try:
        fcntl.flock(lock, _ALONE)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
