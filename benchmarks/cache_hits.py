"""What a hit in the strategy cache costs: live in the object store, and from disk.

One dataset of a gigabyte in parts as a run writes them. A disk read is compared with a plain sequential read of the
same files in the same run; for both the files are first put out of the page cache (`cold`) or read once (`warm`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

import numpy as np
import pyarrow as pa
import ray

from actors.cache.cache_actor import RemoteStrategyCache
from actors.cache.cache_client import StrategyCacheClient
from actors.cache.store import Origin, StrategyStore
from actors.data.stored_dataset import StoredDataset
from actors.storage.scratch import scratch_folder
from actors.storage.storage import Storage
from benchmarks.protocol import Figures
from benchmarks.repeated import Spread, rate, scaled, spread
from operators.rows.record import RECORD_SCHEMA

NUM_BYTES, SMOKE_BYTES = 10**9, 10**8
PART_ROWS = 16_384
ROW_BYTES = 4_096
NUM_RUNS = 5
_BLOCK = 8 << 20
_KEY = "0" * 64


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Figures for `rows` rows of 4 KiB, a gigabyte by default."""
    num_rows = rows or (SMOKE_BYTES if smoke else NUM_BYTES) // ROW_BYTES
    with scratch_folder() as folder:
        store = StrategyStore(Storage.at(folder))
        work = store.workspace()
        StoredDataset.write(work, _parts(num_rows))
        entry = store.commit(_KEY, work, Origin(run_id="bench", strategy="cleaning", seconds=0.0))
        num_bytes = sum(part.num_bytes for part in entry.dataset.manifest.parts)
        disk = _disk(store, entry.dataset, num_bytes)
        live = _live(store.storage, num_bytes)
    disk_frac = disk["store_cold_gb_s"]["median"] / disk["plain_cold_gb_s"]["median"]
    return {"num_bytes": num_bytes, "disk": disk, "cold_over_plain": disk_frac, "live": live}


def _parts(num_rows: int) -> Iterator[pa.Table]:
    """Distinct rows of random letters: they compress nowhere on the way."""
    letters = np.random.default_rng(0).integers(97, 123, PART_ROWS * ROW_BYTES, dtype=np.uint8)
    offsets = pa.array(np.arange(PART_ROWS + 1, dtype=np.int32) * ROW_BYTES)
    for start in range(0, num_rows, PART_ROWS):
        count = min(PART_ROWS, num_rows - start)
        buffers = [None, offsets.buffers()[1], pa.py_buffer(np.roll(letters, start).tobytes())]
        columns = {
            "id": pa.array([f"row-{start + at}" for at in range(count)]),
            "history": pa.array([[]] * count, RECORD_SCHEMA.field("history").type),
            "question": pa.array(["what is it?"] * count),
            "answer": pa.StringArray.from_buffers(count, *buffers[1:]),
            "origin": pa.array(["source"] * count),
        }
        yield pa.table(columns, schema=RECORD_SCHEMA)


def _disk(store: StrategyStore, dataset: StoredDataset, num_bytes: int) -> dict[str, Spread]:
    """GB/s of a plain read, of the store's checked read, and of its check alone."""
    paths = [dataset.folder.path(part.file) for part in dataset.manifest.parts]
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: _read_plainly(paths),
        "store": lambda: store.read(_KEY),
        "lookup": lambda: store.lookup(_KEY),
    }
    seconds: dict[str, list[float]] = {}
    for _ in range(NUM_RUNS):
        for name, way in ways.items():
            _forget(paths)
            seconds.setdefault(f"{name}_cold", []).append(_seconds(way))
            seconds.setdefault(f"{name}_warm", []).append(_seconds(way))
    return {f"{name}_gb_s": rate(num_bytes / 1e9, spread(times)) for name, times in seconds.items()}


def _live(storage: Storage, num_bytes: int) -> dict[str, Spread | int]:
    """Milliseconds of a live hit, the bytes that it copied, and GB/s from disk into the object store."""
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=3 * num_bytes,
        include_dashboard=False,
        log_to_driver=False,
        namespace="bench",
    )
    try:
        cache = RemoteStrategyCache(storage.location, object_bytes=2 * num_bytes)
        StrategyCacheClient(storage, holder="bench", cache=cache).release()
        first: list[float] = []
        hits: list[float] = []
        for _ in range(NUM_RUNS):
            cache.release()
            first.append(_seconds(lambda: cache.table(_KEY)))
            before = pa.total_allocated_bytes()
            hits.append(_seconds(lambda: cache.table(_KEY)))
        table = cache.table(_KEY)
        copied = pa.total_allocated_bytes() - before
        assert table.nbytes > 0.9 * num_bytes
    finally:
        ray.shutdown()
    return {
        "hit_ms": scaled(spread(hits), 1e3),
        "copied_bytes": copied,
        "disk_to_store_gb_s": rate(num_bytes / 1e9, spread(first)),
    }


def _read_plainly(paths: list[str]) -> None:
    block = bytearray(_BLOCK)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(block):
                pass


def _forget(paths: list[str]) -> None:
    """Put files out of the page cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
