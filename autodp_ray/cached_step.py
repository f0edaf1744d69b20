"""Dear work of a run, done once: by its key among attempts at the run (journal) and among drivers (strategy cache).

Whoever has such work gives a key and a way to obtain the value; what is found is not computed, and every step leaves
one event. Knows nothing of what is computed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from actors.cache.cache_client import ReleaseWorker, StrategyCacheClient
from actors.cluster.metrics import count_lookups
from autodp_ray.journal import Journal, Payload

T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedStep(Generic[T]):
    """One step: what it is found by, and what it takes where it is not found."""

    key: str
    obtain: Callable[[], T]
    """Finds the value in the cache that drivers share, or computes it; a step that raises leaves no event."""
    describe: Callable[[T], Payload]
    """What the journal keeps of the value."""
    release_worker: ReleaseWorker = nullcontext
    """Entered while another thread's work on the same step is waited for."""


class Steps:
    """All steps of one kind. Safe to call from many threads."""

    def __init__(self, event: str, *, journal: Journal) -> None:
        """`event` is the name of the events that they leave."""
        self._event = event
        self._journal = journal
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def knows(self, key: str) -> bool:
        """Whether the journal has the step."""
        return self._journal.find(self._event, key) is not None

    def payload(self, step: CachedStep[T]) -> Payload:
        """What the journal keeps of a step; its value is obtained only where the journal has nothing."""
        found = self._journal.find(self._event, step.key)
        count_lookups("journal", hits=int(found is not None), asked=1)
        if found is not None:
            return found
        with self._turn(step):
            return self._journal.once(self._event, step.key, lambda: step.describe(step.obtain()))

    def value(self, step: CachedStep[T]) -> T:
        """The value itself, which the journal does not keep; it is noted there the first time."""
        value = step.obtain()
        self._journal.once(self._event, step.key, lambda: step.describe(value))
        return value

    @contextmanager
    def _turn(self, step: CachedStep[T]) -> Iterator[None]:
        """Of several threads that want one step, one obtains it and the others wait."""
        lock = self._turns[step.key]
        if not lock.acquire(blocking=False):
            with step.release_worker():
                lock.acquire()
        try:
            yield
        finally:
            lock.release()


def cached_outcome(
    cache: StrategyCacheClient, key: str, compute: Callable[[], B], *, kind: type[B], release_worker: ReleaseWorker
) -> B:
    """The outcome under a key, found or computed; one that another version of the code wrote is computed anew.

    Raises: what `compute` raises; then nothing is kept.
    """

    def found_or_computed() -> str:
        return cache.outcome(key, lambda: compute().model_dump_json(), release_worker=release_worker)

    try:
        return kind.model_validate_json(found_or_computed())
    except ValidationError:
        cache.set_aside_outcome(key)
        return kind.model_validate_json(found_or_computed())
