"""A driver's end of the strategy cache: find, or compute once among all who want the same.

A claim is renewed for as long as the work takes and given back whatever comes of it. Knows neither Ray (see
cache_actor.py) nor what is computed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import pyarrow as pa

from actors.cache.cache import RENEWALS_PER_LEASE, LeaseReply, Ready, StrategyCache, Value
from actors.cache.store import DATASETS, SCORES, CachedDataset, Origin, StrategyStore
from actors.cluster.metrics import count_lookups
from actors.data.stored_dataset import Manifest, StoredDataset
from actors.storage.storage import Storage
from actors.training.job import TrainingRows
from operators.contract.errors import RunError

log = logging.getLogger(__name__)

POLL_S = 0.5
"""How often work that somebody else has claimed is asked for again."""

ReleaseWorker = Callable[[], AbstractContextManager[None]]
"""A context in which the caller waits for another's result and has released its own worker."""


class SharedCache(Protocol):
    """What is asked of a StrategyCache, wherever it lives."""

    def ready(self) -> Ready: ...

    def lookup(self, keys: Sequence[str]) -> tuple[int, Value] | None: ...

    def lease(self, name: str, holder: str) -> LeaseReply: ...

    def renew(self, names: Sequence[str], holder: str) -> None: ...

    def abandon(self, names: Sequence[str] | None, holder: str) -> None: ...

    def commit_dataset(self, key: str, work: str, origin_json: str, *, holder: str) -> Value: ...

    def commit_score(self, key: str, outcome_json: str, *, holder: str) -> Value: ...

    def set_aside_score(self, key: str) -> None: ...

    def table(self, key: str) -> pa.Table: ...

    def release(self) -> None: ...


class StrategyCacheClient:
    """What one run asks of the cache. Safe to call from many threads."""

    def __init__(self, storage: Storage, *, holder: str, cache: SharedCache | None = None) -> None:
        self._storage = storage
        self._holder = holder
        self._shared = cache or StrategyCache(storage.location)
        self._claimed: set[str] = set()
        self._renewing = threading.Lock()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._shared.abandon(None, holder)  # claims of the same run before it was killed
        renew_s = self._shared.ready()["lease_s"] / RENEWALS_PER_LEASE
        threading.Thread(target=self._renew, args=(renew_s,), name="cache-claims", daemon=True).start()

    def close(self) -> None:
        """Give back every claim; work that still goes on is not committed."""
        self._closed.set()
        with self._renewing:
            self._claimed.clear()
        self._shared.abandon(None, self._holder)

    def lookup(self, keys: Sequence[str]) -> tuple[int, CachedDataset] | None:
        """The last of the keys (of ever longer prefixes) that has a dataset, by its index."""
        found = self._cache.lookup(list(keys))
        if found is None:
            return None
        count_lookups(DATASETS, hits=1, asked=1)
        return found[0], self._entry(keys[found[0]], found[1])

    def dataset(
        self, key: str, compute: Callable[[Storage], Origin], *, release_worker: ReleaseWorker = nullcontext
    ) -> CachedDataset:
        """The dataset under a key: found, or computed here into the folder that `compute` is given.

        Raises: what `compute` raises, and then the folder stays as it is for the next attempt of this holder; RunError
        or OSError where it cannot be committed.
        """

        def publish() -> Value:
            work = StrategyStore(self._storage).workspace_of(key, self._holder)
            origin = compute(work).model_dump_json()
            return self._committed(
                self._cache, lambda each: each.commit_dataset(key, work.location, origin, holder=self._holder)
            )

        return self._entry(key, self._once(f"{DATASETS}/{key}", publish, release_worker))

    def outcome(self, key: str, compute: Callable[[], str], *, release_worker: ReleaseWorker = nullcontext) -> str:
        """The training outcome under a score key as JSON text: found, or computed here.

        Raises: what `compute` raises; then nothing is kept.
        """

        def publish() -> Value:
            outcome = compute()
            return self._committed(self._cache, lambda each: each.commit_score(key, outcome, holder=self._holder))

        return self._once(f"{SCORES}/{key}", publish, release_worker)["outcome"]

    def has_outcome(self, key: str) -> bool:
        """Whether a training outcome lies under a score key. Claims nothing."""
        return StrategyStore(self._storage).score(key, note_use=False) is not None

    def set_aside_outcome(self, key: str) -> None:
        """Take an outcome that this version of the code cannot read out of the way."""
        self._cache.set_aside_score(key)

    def rows(self, dataset: StoredDataset) -> TrainingRows:
        """What a worker is handed: paths where they lie on a local disk, else the rows, live ones where there are."""
        key = self._storage.folder(DATASETS).name_of(dataset.folder)
        if dataset.folder.is_local or key is None:
            return dataset.rows_for_workers()
        return self._cache.table(key)

    def release(self) -> None:
        """Drop live objects, which keep nodes from being scaled away."""
        self._cache.release()

    def _committed(self, cache: SharedCache, commit: Callable[[SharedCache], Value]) -> Value:
        """What was committed: by the cache, or where that fails by this process, since disk is the truth.

        Raises: the cache's error where neither can. A finished dataset then stays in its workspace until it is stale.
        """
        try:
            return commit(cache)
        except (RunError, OSError) as error:
            log.warning("%s; finished work is committed without it", error)
            try:
                return commit(StrategyCache(self._storage.location))
            except (RunError, OSError):
                raise error from None

    def _once(self, name: str, publish: Callable[[], Value], release_worker: ReleaseWorker) -> Value:
        said, tier = False, name.partition("/")[0]
        while True:
            # What another thread here is at is not asked for: a restarted cache may have forgotten whose it is.
            claim = None if name in self._claimed else self._cache.lease(name, self._holder)
            if claim is not None and claim["value"] is not None:
                count_lookups(tier, hits=1, asked=1)
                return claim["value"]
            if claim is not None and claim["state"] == "granted":
                count_lookups(tier, hits=0, asked=1)
                with self._claim(name):
                    return publish()
            if not said:
                log.info("%s is being computed elsewhere; waiting for it", name)
                said = True
            with release_worker(), self._changed:
                self._changed.wait(POLL_S)

    @contextmanager
    def _claim(self, name: str) -> Iterator[None]:
        with self._renewing:
            self._claimed.add(name)
        try:
            yield
        finally:
            with self._renewing:  # so that no renewal under way brings the claim back
                self._claimed.discard(name)
            self._give_back(name)
            with self._changed:
                self._changed.notify_all()

    def _give_back(self, name: str) -> None:
        """Ends a claim; one that cannot be given back ends by itself, and fails no work that is done."""
        if self._closed.is_set():
            return
        try:
            self._shared.abandon([name], self._holder)
        except RunError as error:
            log.warning("the claim on %s ends by itself: %s", name, error)

    def _renew(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            with self._renewing:
                if not self._claimed:
                    continue
                try:
                    self._shared.renew(sorted(self._claimed), self._holder)
                except RunError as error:
                    log.warning("claims on the strategy cache could not be renewed: %s", error)

    @property
    def _cache(self) -> SharedCache:
        if self._closed.is_set():
            raise RunError("the strategy cache is closed: the run has ended")
        return self._shared

    def _entry(self, key: str, found: Value) -> CachedDataset:
        folder = self._storage.folder(f"{DATASETS}/{key}")
        return CachedDataset(
            dataset=StoredDataset(folder=folder, manifest=Manifest.model_validate_json(found["manifest"])),
            origin=Origin.model_validate_json(found["origin"]),
        )
