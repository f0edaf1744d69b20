"""Gives memory that this process has freed back to the system.

Allocators keep what was freed for the next allocation. A process that does one task after another would so hold, for as
long as it lives, the most that any of them ever held, and what one left lying in pieces besides.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import pyarrow as pa


def give_back_freed_memory() -> None:
    """Takes milliseconds, and the next allocations as much again."""
    pa.default_memory_pool().release_unused()
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """That of glibc; other C libraries have none."""
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
