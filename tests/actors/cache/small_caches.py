"""A cache's clock, rows and commits, for tests of the cache and of its clients."""

from __future__ import annotations

import pyarrow as pa

from actors.cache.cache import StrategyCache
from actors.cache.store import Origin, StrategyStore
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from operators.rows.record import RECORD_SCHEMA


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def rows(text: str) -> pa.Table:
    row = {"id": "r", "history": [], "question": text, "answer": text, "origin": "source"}
    return pa.Table.from_pylist([row], schema=RECORD_SCHEMA)


def made(storage: Storage, text: str = "t") -> str:
    work = StrategyStore(storage).workspace()
    StoredDataset.write(work, [rows(text)])
    return work.location


ORIGIN = Origin(run_id="run-1", strategy="cleaning", seconds=1.0)


def commit(cache: StrategyCache, storage: Storage, key: str, text: str = "t", holder: str = "one") -> None:
    cache.commit_dataset(key, made(storage, text), ORIGIN.model_dump_json(), holder=holder)


def compute(work: Storage) -> Origin:
    StoredDataset.write(work, [rows("t")])
    return ORIGIN
