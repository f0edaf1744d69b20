"""What a process freed goes back to the system, once it is much."""

from __future__ import annotations

import os
from pathlib import Path

from actors.data.freed_memory import FreedMemory

BLOCK_BYTES, BLOCKS = 100_000, 1_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _freed_around_one_in_use() -> bytearray:
    """Memory that an allocator keeps by itself: blocks below one that is still in use."""
    blocks = [bytearray(BLOCK_BYTES) for _ in range(BLOCKS)]
    return blocks.pop()


def test_blocks_that_were_freed_go_back_though_the_last_one_is_in_use() -> None:
    last = _freed_around_one_in_use()
    held = _resident_bytes()
    FreedMemory().give_back()
    assert held - _resident_bytes() > BLOCK_BYTES * BLOCKS // 2
    assert len(last) == BLOCK_BYTES


def test_little_is_kept_for_what_comes_next() -> None:
    memory = FreedMemory()
    memory.give_back()
    last = _freed_around_one_in_use()
    held = _resident_bytes()
    memory.give_back(but=2 * BLOCK_BYTES * BLOCKS)
    assert held - _resident_bytes() < BLOCK_BYTES * BLOCKS // 2
    memory.give_back(but=BLOCK_BYTES * BLOCKS // 2)
    assert held - _resident_bytes() > BLOCK_BYTES * BLOCKS // 2
    assert len(last) == BLOCK_BYTES
