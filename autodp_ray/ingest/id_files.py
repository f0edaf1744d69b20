"""Files of hashed ids: those of one split, ordered by hash, so that any range of hashes can be read by itself."""

from __future__ import annotations

import numpy as np

from actors.storage.storage import Storage
from operators.contract.errors import RunError

NUM_BUCKETS = 256
"""Ranges of hashes by their first byte; a partition is some neighbouring ones."""
HASH_BYTES, ROW_BYTES = 16, 4
_HEAD_BYTES = 8 * (NUM_BUCKETS + 1)


def write_hashes(folder: Storage, split: int, hashes: np.ndarray) -> None:
    """Write the hashes `[N, 2]` of a split's rows, in the order of the rows."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    firsts = np.arange(1, NUM_BUCKETS, dtype=np.uint64) << np.uint64(56)
    starts = np.searchsorted(ordered[:, 0], firsts)
    bounds = np.concatenate([[0], starts, [len(order)]]).astype("<u8")
    data = bounds.tobytes() + ordered.astype("<u8").tobytes() + order.astype("<u4").tobytes()
    folder.write_bytes(_name(split), data)


def read_hashes(folder: Storage, split: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """The hashes `[N, 2]` in some buckets, and the rows `[N]` that they are of.

    Raises: RunError where the file is gone or cut short.
    """
    try:
        with folder.filesystem.open_input_file(folder.path(_name(split))) as file:
            bounds = np.frombuffer(file.read_at(_HEAD_BYTES, 0), dtype="<u8")
            first, last, num = int(bounds[start]), int(bounds[stop]), int(bounds[-1])
            hashes = file.read_at(HASH_BYTES * (last - first), _HEAD_BYTES + HASH_BYTES * first)
            rows = file.read_at(ROW_BYTES * (last - first), _HEAD_BYTES + HASH_BYTES * num + ROW_BYTES * first)
            found = np.frombuffer(hashes, dtype="<u8").reshape(last - first, 2), np.frombuffer(rows, dtype="<u4")
    except (OSError, ValueError, IndexError):
        found = np.empty((0, 2), np.uint64), np.empty(0, np.uint32)
        first, last = 0, -1
    if len(found[1]) != last - first:
        raise RunError(f"{folder.shown_uri(_name(split))} is gone or damaged; delete its folder and read anew")
    return found


def _name(split: int) -> str:
    return f"hashes-{split:06d}.bin"
