"""Who computes what: leases, so that work wanted by several at one moment is done once, and a tier of live objects.

The plain class that the detached actor runs (cache_actor.py). What is computed lies in the store, on disk; the cache
itself remembers only leases and object refs, so a restart loses nothing that was finished. Everything that goes
in and out is plain data, since drivers may run other versions of this code.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypedDict

import pyarrow as pa

from actors.cache.store import DATASETS, SCORES, CachedDataset, Origin, StrategyStore
from actors.cache.upkeep import prune, verify
from actors.storage.storage import Storage
from operators.contract.errors import RunError

log = logging.getLogger(__name__)

PROTOCOL = 1
"""Raise it when a method's arguments or answers change: the actor's name holds it."""
LEASE_S = 60.0
RENEWALS_PER_LEASE = 4
"""How often a living holder renews its lease before it would end."""
SILENT_RENEWALS = 2
"""Renewals for which a cache that follows a dead one grants nothing: by then every living holder was heard."""
OBJECT_BYTES = 2 * 2**30

Value = dict[str, str]
"""What a name stands for: a dataset's `manifest` and `origin`, or a training's `outcome`, as JSON text."""


class Ready(TypedDict):
    """What a cache is, and how long a lease lasts unless it is renewed."""

    protocol: int
    location: str
    lease_s: float


class LeaseReply(TypedDict):
    """The answer to a request to compute something; `value` is there where it was found."""

    state: Literal["found", "granted", "held"]
    value: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lease:
    holder: str
    until: float


class StrategyCache:
    """Leases on names such as `datasets/KEY` and `scores/KEY`, in front of the store; for many threads."""

    def __init__(
        self,
        location: str,
        *,
        lease_s: float = LEASE_S,
        object_bytes: int = OBJECT_BYTES,
        put: Callable[[pa.Table], object] = lambda table: table,
        clock: Callable[[], float] = time.monotonic,
        is_restarted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = StrategyStore(Storage(location))
        self._lease_s = lease_s
        self._leases: dict[str, _Lease] = {}
        self._objects = _Objects(object_bytes)
        self._put = put
        self._clock = clock
        silent_s = SILENT_RENEWALS * lease_s / RENEWALS_PER_LEASE if is_restarted() else 0.0
        self._grants_from = clock() + silent_s
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def ready(self) -> Ready:
        """Answers once the actor is up."""
        return Ready(protocol=PROTOCOL, location=self._store.storage.location, lease_s=self._lease_s)

    def lookup(self, keys: Sequence[str]) -> tuple[int, Value] | None:
        """The last of the keys (of ever longer prefixes) that has a dataset, by its index, or None."""
        for index in reversed(range(len(keys))):
            if (found := self._store.lookup(keys[index])) is not None:
                self._count("hits")
                return index, _value(found)
        self._count("misses")
        return None

    def lease(self, name: str, holder: str) -> LeaseReply:
        """Ask to compute what has a name: it is found, the lease is granted, or somebody holds it.

        A holder that stops renewing loses its lease. Asking again never gives a second lease, not to the holder either:
        it may have several threads. After a restart nothing is granted until the holders of before had time to renew.
        """
        with self._lock:
            may_grant = self._clock() >= self._grants_from
            if self._is_held(name):
                self._counts["waits"] += 1
                return LeaseReply(state="held", value=None)
            if may_grant:
                self._leases[name] = self._new_lease(holder)
        found = self._find(name)
        if found is not None:
            if may_grant:
                self._give_back([name], holder)
            self._count("hits")
            return LeaseReply(state="found", value=found)
        self._count("leases" if may_grant else "waits")
        return LeaseReply(state="granted" if may_grant else "held", value=None)

    def renew(self, names: Sequence[str], holder: str) -> None:
        """The holder is alive. What a restart forgot is remembered again."""
        with self._lock:
            for name in names:
                if not self._is_held(name) or self._leases[name].holder == holder:
                    self._leases[name] = self._new_lease(holder)

    def abandon(self, names: Sequence[str] | None, holder: str) -> None:
        """The holder gives up: these names, or all that it has."""
        self._give_back(names, holder)

    def commit_dataset(self, key: str, work: str, origin_json: str, *, holder: str) -> Value:
        """Publish a dataset that was computed in a folder of the store. May be repeated."""
        entry = self._store.commit(key, Storage(work), Origin.model_validate_json(origin_json))
        self._give_back([f"{DATASETS}/{key}"], holder)
        self._count("commits")
        return _value(entry)

    def commit_score(self, key: str, outcome_json: str, *, holder: str) -> Value:
        """Publish a training's outcome; the first one stays and is given back."""
        first = self._store.score(key)
        if first is None:
            self._store.record_score(key, outcome_json)
        self._give_back([f"{SCORES}/{key}"], holder)
        self._count("commits")
        return {"outcome": outcome_json if first is None else first}

    def set_aside_score(self, key: str) -> None:
        self._store.set_aside_score(key)

    def get(self, key: str) -> list[object]:
        """The ref of a dataset's table, in a list so that it travels as a ref: a live object, else put from disk.

        Raises: RunError where there is no such dataset, or it is damaged.
        """
        with self._lock:
            ref = self._objects.find(key)
            self._counts["object_hits" if ref is not None else "disk_reads"] += 1
        if ref is None:
            table = self._store.read(key)
            if table is None:
                raise RunError(f"the cache has no dataset {key} any more; it was pruned or set aside")
            ref = self._put(table)
            with self._lock:
                self._objects.keep(key, ref, table.nbytes)
        return [ref]

    def table(self, key: str) -> pa.Table:
        """The dataset's table, where the cache lives in the caller's own process and refs are tables."""
        (table,) = self.get(key)
        return table

    def release(self) -> None:
        """Drop the object tier: live objects keep a node from being scaled away."""
        with self._lock:
            self._objects.clear()

    def verify(self) -> dict[str, object]:
        """Check every byte on disk; damaged entries are set aside."""
        return asdict(verify(self._store))

    def prune(self, *, max_bytes: int | None = None, max_age_s: float | None = None) -> dict[str, object]:
        """Let go of what was used longest ago."""
        return asdict(prune(self._store, max_bytes=max_bytes, max_age_s=max_age_s))

    def statistics(self) -> dict[str, int]:
        """Counts since the start, and what is held now."""
        with self._lock:
            held = sum(self._is_held(name) for name in self._leases)
            objects = {"num_objects": len(self._objects), "object_bytes": self._objects.num_bytes}
            return {**self._counts, "num_leases": held, **objects}

    def _find(self, name: str) -> Value | None:
        kind, _, key = name.partition("/")
        if kind == SCORES:
            outcome = self._store.score(key)
            return None if outcome is None else {"outcome": outcome}
        found = self._store.lookup(key)
        return None if found is None else _value(found)

    def _is_held(self, name: str) -> bool:
        return name in self._leases and self._leases[name].until > self._clock()

    def _new_lease(self, holder: str) -> _Lease:
        return _Lease(holder=holder, until=self._clock() + self._lease_s)

    def _give_back(self, names: Iterable[str] | None, holder: str) -> None:
        with self._lock:
            for name in list(self._leases if names is None else names):
                if name in self._leases and self._leases[name].holder == holder:
                    del self._leases[name]

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1


class _Objects:
    """Refs of live tables, bounded in bytes: the least recently used go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._refs: OrderedDict[str, tuple[object, int]] = OrderedDict()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._refs)

    def find(self, key: str) -> object | None:
        if key not in self._refs:
            return None
        self._refs.move_to_end(key)
        return self._refs[key][0]

    def keep(self, key: str, ref: object, num_bytes: int) -> None:
        """Keep a ref, unless its table alone is over the bound."""
        if key in self._refs or num_bytes > self._max_bytes:
            return
        self._refs[key] = (ref, num_bytes)
        self.num_bytes += num_bytes
        while self.num_bytes > self._max_bytes:
            _, (_, freed) = self._refs.popitem(last=False)
            self.num_bytes -= freed

    def clear(self) -> None:
        self._refs.clear()
        self.num_bytes = 0


def _value(found: CachedDataset) -> Value:
    return {"manifest": found.dataset.manifest.model_dump_json(), "origin": found.origin.model_dump_json()}
