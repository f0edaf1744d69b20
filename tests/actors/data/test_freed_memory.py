"""What a process freed goes back to the system."""

from __future__ import annotations

import os
from pathlib import Path

from actors.data.freed_memory import give_back_freed_memory

BLOCK_BYTES, BLOCKS = 100_000, 1_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_small_blocks_that_were_freed_go_back_though_the_last_one_is_in_use() -> None:
    blocks = [bytearray(BLOCK_BYTES) for _ in range(BLOCKS)]
    last = blocks.pop()
    del blocks
    held = _resident_bytes()
    give_back_freed_memory()
    assert held - _resident_bytes() > BLOCK_BYTES * BLOCKS // 2
    assert len(last) == BLOCK_BYTES
