"""The strategy cache as one detached actor per storage location: found by every driver of a cluster, outliving each.

Its name holds the protocol's version, so drivers of another protocol have an actor of their own; they share the disk,
whose entries are whole or not there, but no leases. Where the actor dies, it starts again, and is made anew where it
was killed for good.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import pyarrow as pa
import ray
from ray.actor import ActorHandle
from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError

from actors.cache.cache import LEASE_S, OBJECT_BYTES, PROTOCOL, LeaseReply, Ready, StrategyCache, Value
from actors.cache.cache_client import StrategyCacheClient
from actors.cluster.nodes import NAMESPACE
from actors.storage.storage import Storage
from operators.contract.errors import RunError
from operators.contract.redaction import redacted

log = logging.getLogger(__name__)

OBJECT_STORE_FRAC = 0.25
"""Share of a node's object store that live datasets may take."""
NUM_THREADS = 16
MAX_TRIES = 5
RETRY_S = 1.0


def actor_name(location: str) -> str:
    """The name of the actor for a storage location."""
    return f"autodp-cache-v{PROTOCOL}-{hashlib.sha256(redacted(location).encode()).hexdigest()[:16]}"


@contextmanager
def open_strategy_cache(storage: Storage, *, holder: str) -> Iterator[StrategyCacheClient]:
    """The cluster's cache for a storage location, a private folder where it is made; claims of this holder are given
    back at the end.

    Raises: RunError where the actor cannot be had, or speaks another protocol.
    """
    storage.make_private()
    client = StrategyCacheClient(storage, holder=holder, cache=RemoteStrategyCache(storage.location))
    try:
        yield client
    finally:
        try:
            client.close()
        except RunError as error:
            log.warning("claims on the strategy cache end by themselves: %s", error)


def _is_restarted() -> bool:
    """Whether the actor that asks died before."""
    return bool(ray.get_runtime_context().was_current_actor_reconstructed)


class RemoteStrategyCache:
    """Calls the actor, which is made where there is none. Every call may safely be repeated.

    Raises: RunError, from every method, where the actor cannot be reached or the method failed there.
    """

    def __init__(self, location: str, *, lease_s: float = LEASE_S, object_bytes: int | None = None) -> None:
        self._location = location
        self._lease_s = lease_s
        self._object_bytes = _object_bytes() if object_bytes is None else object_bytes
        self._actor = self._open()
        spoken = self.ready()["protocol"]
        if spoken != PROTOCOL:
            raise RunError(f"the strategy cache {actor_name(location)} speaks protocol {spoken}, not {PROTOCOL}")

    def ready(self) -> Ready:
        return cast(Ready, self._call("ready"))

    def lookup(self, keys: Sequence[str]) -> tuple[int, Value] | None:
        return cast("tuple[int, Value] | None", self._call("lookup", keys))

    def lease(self, name: str, holder: str) -> LeaseReply:
        return cast(LeaseReply, self._call("lease", name, holder))

    def renew(self, names: Sequence[str], holder: str) -> None:
        self._call("renew", names, holder)

    def abandon(self, names: Sequence[str] | None, holder: str) -> None:
        self._call("abandon", names, holder)

    def commit_dataset(self, key: str, work: str, origin_json: str, *, holder: str) -> Value:
        return cast(Value, self._call("commit_dataset", key, work, origin_json, holder=holder))

    def commit_score(self, key: str, outcome_json: str, *, holder: str) -> Value:
        return cast(Value, self._call("commit_score", key, outcome_json, holder=holder))

    def set_aside_score(self, key: str) -> None:
        self._call("set_aside_score", key)

    def release(self) -> None:
        self._call("release")

    def statistics(self) -> dict[str, int]:
        return cast("dict[str, int]", self._call("statistics"))

    def table(self, key: str) -> pa.Table:
        """A dataset's rows; without a copy where they are live on this node."""
        for _ in range(MAX_TRIES):
            (ref,) = cast("list[ray.ObjectRef[pa.Table]]", self._call("get", key))
            try:
                return ray.get(ref)
            except (ObjectLostError, RayActorError) as error:  # the actor died, and its objects with it
                log.warning("a live dataset of the strategy cache is gone (%s)", type(error).__name__)
        raise RunError(f"the strategy cache lost the live dataset {key} {MAX_TRIES} times")

    def _call(self, method: str, *arguments: object, **named: object) -> object:
        """The method's answer, across restarts of the actor."""
        for attempt in range(MAX_TRIES):
            try:
                return ray.get(getattr(self._actor, method).remote(*arguments, **named))
            except RayTaskError as error:
                raise RunError(f"the strategy cache failed: {error.cause}") from error
            except RayActorError as error:
                log.warning("the strategy cache's actor is gone (%s); it starts again", type(error).__name__)
                time.sleep(RETRY_S * attempt)
                self._actor = self._open(is_restarted=lambda: True)
            except RayError as error:
                raise RunError(f"the strategy cache cannot be reached ({type(error).__name__})") from error
        raise RunError(f"the strategy cache's actor {actor_name(self._location)} died {MAX_TRIES} times")

    def _open(self, is_restarted: Callable[[], bool] = _is_restarted) -> ActorHandle[StrategyCache]:
        """The actor's handle; where it is made here, `is_restarted` says there whether it follows another."""
        actor = ray.remote(num_cpus=0, num_gpus=0)(StrategyCache).options(
            name=actor_name(self._location),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=NUM_THREADS,
        )
        handle = actor.remote(
            self._location,
            lease_s=self._lease_s,
            object_bytes=self._object_bytes,
            put=ray.put,
            is_restarted=is_restarted,
        )
        return cast("ActorHandle[StrategyCache]", handle)


def _object_bytes() -> int:
    """The bound of the object tier on this cluster's smallest node."""
    sizes = [node["Resources"].get("object_store_memory", 0.0) for node in ray.nodes() if node["Alive"]]
    return min(OBJECT_BYTES, int(OBJECT_STORE_FRAC * min(sizes, default=0.0)))
