"""A dataset of any size as JSON-lines files, made by tasks on the cluster; the same rows however it is cut."""

from __future__ import annotations

import json
from collections.abc import Iterator

import ray

from actors.storage.storage import Storage
from benchmarks.labelled_copies import damaged_row

ROWS_PER_FILE = 100_000
MIN_FILES = 4


def make_files(folder: Storage, rows: int) -> int:
    """Files with English rows, of which a fifth are near-copies and a sixth have markup; the bytes of all."""
    size = min(ROWS_PER_FILE, -(-rows // MIN_FILES))
    make = ray.remote(num_cpus=1)(write_file)
    pending = [make.remote(folder, start, min(start + size, rows)) for start in range(0, rows, size)]
    return sum(ray.get(pending))


def write_file(folder: Storage, start: int, stop: int) -> int:
    """The rows from `start` to `stop` as one file; its bytes."""
    content = b"".join(_lines(start, stop))
    folder.write_bytes(f"rows-{start:012d}.jsonl", content)
    return len(content)


def _lines(start: int, stop: int) -> Iterator[bytes]:
    for at in range(start, stop):
        row = damaged_row(at, language="english")
        yield json.dumps({"question": row.question, "answer": row.answer}, ensure_ascii=False).encode() + b"\n"
