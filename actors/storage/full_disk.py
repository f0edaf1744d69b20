"""A disk without room is no fault of the program: one line says what to do. What the system says quotes no row."""

from __future__ import annotations

import errno


def full_disk_line(error: BaseException) -> str | None:
    """What to say of an error that means that a disk or a quota is used up; None for any other."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    place = f" ({error.filename})" if error.filename else ""
    return f"no space is left on a disk{place}: free some, then run the same command again, which goes on"
