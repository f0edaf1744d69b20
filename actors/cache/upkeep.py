"""Keeping the strategy store in order: what it holds, whether it is whole, and what to let go."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from actors.cache.store import (
    DAMAGED,
    DATASETS,
    SCORES,
    USED,
    WORK,
    Origin,
    StrategyStore,
    read_origin,
    read_outcome,
)
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from operators.contract.errors import RunError

log = logging.getLogger(__name__)

STALE_WORK_S = 24 * 3600.0
"""Unfinished work older than this is what a killed run left."""
_SET_ASIDE = re.compile(r".+-[0-9a-f]{8}(\.json)?")
_WORKSPACE = re.compile(r"(\d+)-[0-9a-f]{32}")
_HOLDERS_WORKSPACE = re.compile(r"[0-9a-f]{64}-[0-9a-f]{16}")
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One dataset or score of the store. Times are seconds since 1970."""

    kind: Literal["dataset", "score"]
    key: str
    num_bytes: int
    last_used: float
    num_rows: int | None = None
    strategy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a check of every entry found; the damaged ones are set aside."""

    num_checked: int
    damaged: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was let go, and what is left."""

    removed: tuple[CacheEntry, ...]
    num_bytes_left: int


def entries(store: StrategyStore) -> Iterator[CacheEntry]:
    """Every whole entry that can be read, datasets first, by key. Checks no bytes."""
    storage = store.storage
    for key in storage.names(DATASETS):
        if (found := _read(storage.folder(f"{DATASETS}/{key}"))) is None:
            continue
        manifest, origin = found[0].manifest, found[1]
        yield CacheEntry(
            kind="dataset",
            key=key,
            num_bytes=sum(part.num_bytes for part in manifest.parts),
            last_used=_last_used(storage, key),
            num_rows=manifest.num_rows,
            strategy=origin.strategy,
        )
    for key in _scores(storage):
        name = f"{key}.json"
        num_bytes = len(storage.read_bytes(f"{SCORES}/{name}"))
        yield CacheEntry(kind="score", key=key, num_bytes=num_bytes, last_used=_last_used(storage, key))


def origins(store: StrategyStore) -> Iterator[Origin]:
    """Where every cached dataset came from."""
    for key in store.storage.names(DATASETS):
        if (found := _read(store.storage.folder(f"{DATASETS}/{key}"))) is not None:
            yield found[1]


def outcomes(store: StrategyStore) -> Iterator[str]:
    """Every recorded training outcome that can be read, as JSON text."""
    for key in _scores(store.storage):
        with contextlib.suppress(RunError, FileNotFoundError):
            yield read_outcome(store.storage, key)


def verify(store: StrategyStore) -> Verified:
    """Read every byte of every entry; damaged entries are set aside, so that they are computed again."""
    torn = [key for key in store.storage.names(DATASETS) if store.set_aside_torn(key)]
    datasets = [key for key in store.storage.names(DATASETS) if store.has(key)] + torn
    scores = list(_scores(store.storage))
    damaged = [f"{DATASETS}/{key}" for key in datasets if store.lookup(key, note_use=False) is None]
    damaged += [f"{SCORES}/{key}" for key in scores if store.score(key, note_use=False) is None]
    return Verified(num_checked=len(datasets) + len(scores), damaged=tuple(damaged))


def prune(store: StrategyStore, *, max_bytes: int | None = None, max_age_s: float | None = None) -> Pruned:
    """Let go of entries that were not used for `max_age_s`, then of the least recently used beyond `max_bytes`.

    What was set aside as damaged and what killed runs left half done goes too.
    """
    for key in store.storage.names(DATASETS):
        store.set_aside_torn(key)
    now = time.time()
    by_use = sorted(entries(store), key=lambda entry: (entry.last_used, entry.key))
    left = sum(entry.num_bytes for entry in by_use)
    removed: list[CacheEntry] = []
    for entry in by_use:
        is_old = max_age_s is not None and now - entry.last_used > max_age_s
        if is_old or (max_bytes is not None and left > max_bytes):
            _remove(store, entry)
            removed.append(entry)
            left -= entry.num_bytes
    _clear_leftovers(store.storage, now)
    log.info("strategy cache: let go of %d entries, %d bytes are left", len(removed), left)
    return Pruned(removed=tuple(removed), num_bytes_left=left)


def _clear_leftovers(storage: Storage, now: float) -> None:
    """What was set aside, and old unfinished work, by the names that the store gives them."""
    for name in filter(_SET_ASIDE.fullmatch, storage.names(DAMAGED)):
        storage.delete(f"{DAMAGED}/{name}")
    for name in storage.names(WORK):
        if now - _last_at_work(storage, name) > STALE_WORK_S:
            storage.delete(f"{WORK}/{name}")
    for folder in (DAMAGED, WORK):
        storage.delete_empty_folders(folder)
    for folder in (DATASETS, SCORES, USED):
        storage.folder(folder).delete_temporary(older_than_s=STALE_WORK_S)


def _last_at_work(storage: Storage, name: str) -> float:
    """When somebody was last at work in a workspace; it never ends where the folder is no workspace of the store."""
    if (fresh := _WORKSPACE.fullmatch(name)) is not None:
        return float(fresh[1])
    return storage.last_written(f"{WORK}/{name}") if _HOLDERS_WORKSPACE.fullmatch(name) else math.inf


def _remove(store: StrategyStore, entry: CacheEntry) -> None:
    storage = store.storage
    if entry.kind == "score":
        storage.delete(f"{SCORES}/{entry.key}.json")
    else:
        store.remove(entry.key)
    storage.delete(f"{USED}/{entry.key}")


def _scores(storage: Storage) -> Iterator[str]:
    """The keys of the scores, also of damaged ones; a file with another name is not the store's."""
    for name in storage.names(SCORES):
        key, dot, suffix = name.rpartition(".")
        if dot and suffix == "json" and (_KEY.fullmatch(key) or _is_readable(storage, key)):
            yield key


def _is_readable(storage: Storage, key: str) -> bool:
    try:
        read_outcome(storage, key)
    except (RunError, FileNotFoundError):
        return False
    return True


def _read(folder: Storage) -> tuple[StoredDataset, Origin] | None:
    """An entry's manifest and origin; None for what a reader would set aside."""
    try:
        dataset = StoredDataset.open(folder)
        return None if dataset is None else (dataset, read_origin(folder))
    except (RunError, FileNotFoundError):
        return None


def _last_used(storage: Storage, key: str) -> float:
    """When an entry was last read; long ago where the note is lost."""
    try:
        return float(storage.read_text(f"{USED}/{key}"))
    except (FileNotFoundError, ValueError):
        return 0.0
