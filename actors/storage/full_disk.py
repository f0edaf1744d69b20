"""A disk without room is no fault of the program: one line says what to do. What the system says quotes no row."""

from __future__ import annotations

import errno
import sqlite3

NO_SPACE = "no space is left on a disk{place}: free some, then run the same command again, which goes on"


def full_disk_line(error: BaseException) -> str | None:
    """What to say of an error that means that a disk or a quota is used up; None for any other."""
    if isinstance(error, sqlite3.Error):
        is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL  # absent where Python raised it
        return NO_SPACE.format(place="") if is_full else None
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return NO_SPACE.format(place=f" ({error.filename})" if error.filename else "")
