"""Gives memory that this process has freed back to the system.

Allocators keep what was freed for the next allocation. A process that does one task after another would so hold, for as
long as it lives, the most that any of them ever held, and what one left lying in pieces besides.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow as pa

KEPT_BYTES = 64 << 20
"""What a process may keep: to get pages anew from the system takes time, which tasks that need few shall not lose."""


class FreedMemory:
    """What this process has held beyond what it could not give back the last time."""

    def __init__(self) -> None:
        self._held_bytes = 0

    def give_back(self, *, but: int = KEPT_BYTES) -> None:
        """Where the process holds so many bytes more than after the last time, give back all that is free."""
        trim = _malloc_trim()
        if trim is None or _resident_bytes() - self._held_bytes <= but:
            return
        pa.default_memory_pool().release_unused()
        trim(0)
        self._held_bytes = _resident_bytes()


FREED_MEMORY = FreedMemory()
"""That of this process."""


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """That of glibc; other C libraries have none."""
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
