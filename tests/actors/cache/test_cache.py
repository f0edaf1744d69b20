"""The strategy cache as a plain class: one lease per name, an end to each, live tables within a bound."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from actors.cache.cache import LeaseReply, StrategyCache
from actors.cache.cache_client import StrategyCacheClient
from actors.cache.store import Origin
from actors.storage.storage import Storage
from operators.contract.errors import RunError
from tests.actors.cache.small_caches import ORIGIN, Clock, commit, compute, rows

NAME = "datasets/k"


def test_a_name_has_one_holder_until_it_is_committed(cache: StrategyCache, storage: Storage) -> None:
    assert cache.lease(NAME, "one")["state"] == "granted"
    assert cache.lease(NAME, "two")["state"] == "held"
    assert cache.lease(NAME, "one")["state"] == "held", "another thread of the same holder waits as well"
    assert cache.lease("datasets/other", "two")["state"] == "granted"
    commit(cache, storage, "k")
    claim = cache.lease(NAME, "two")
    assert claim["state"] == "found"
    assert claim["value"] is not None
    assert Origin.model_validate_json(claim["value"]["origin"]) == ORIGIN
    assert cache.statistics()["num_leases"] == 1


def test_an_abandoned_name_may_be_had_by_the_next_and_only_its_holder_abandons_it(cache: StrategyCache) -> None:
    cache.lease(NAME, "one")
    cache.abandon([NAME], "two")
    assert cache.lease(NAME, "two")["state"] == "held"
    cache.abandon([NAME], "one")
    assert cache.lease(NAME, "two")["state"] == "granted"


def test_all_that_a_holder_has_can_be_abandoned_together(cache: StrategyCache) -> None:
    for name in ("datasets/a", "scores/b"):
        cache.lease(name, "one")
    cache.lease("datasets/c", "two")
    cache.abandon(None, "one")
    states = [cache.lease(name, "three")["state"] for name in ("datasets/a", "scores/b", "datasets/c")]
    assert states == ["granted", "granted", "held"]


def test_a_dead_holders_lease_ends_and_a_living_ones_goes_on(cache: StrategyCache, clock: Clock) -> None:
    cache.lease("datasets/dead", "dead")
    cache.lease("datasets/alive", "alive")
    for _ in range(4):
        clock.now += 6
        cache.renew(["datasets/alive"], "alive")
    assert cache.lease("datasets/dead", "two")["state"] == "granted"
    assert cache.lease("datasets/alive", "two")["state"] == "held"


def test_a_holder_that_slept_over_its_end_takes_nothing_back_from_the_next(cache: StrategyCache, clock: Clock) -> None:
    cache.lease(NAME, "slow")
    clock.now += 11
    assert cache.lease(NAME, "two")["state"] == "granted"
    cache.renew([NAME], "slow")
    cache.abandon([NAME], "slow")
    assert cache.lease(NAME, "three")["state"] == "held"


def test_a_late_commit_changes_nothing_that_is_there(cache: StrategyCache, storage: Storage) -> None:
    commit(cache, storage, "k", "first", "one")
    commit(cache, storage, "k", "second", "slow")
    assert cache.table("k") == rows("first")
    assert cache.commit_score("s", '{"r": 1}', holder="one") == {"outcome": '{"r": 1}'}
    assert cache.commit_score("s", '{"r": 2}', holder="slow") == {"outcome": '{"r": 1}'}


def test_a_restarted_cache_finds_what_is_on_disk_and_learns_of_leases_again(storage: Storage) -> None:
    before = StrategyCache(storage.location)
    before.lease("datasets/under way", "one")
    commit(before, storage, "k")
    after = StrategyCache(storage.location)
    assert after.lookup(["k"]) is not None
    after.renew(["datasets/under way"], "one")
    assert after.lease("datasets/under way", "two")["state"] == "held"


def restarted(storage: Storage, clock: Clock) -> StrategyCache:
    return StrategyCache(storage.location, lease_s=8, clock=clock, is_restarted=lambda: True)


def test_a_restarted_cache_grants_nothing_before_the_holders_of_before_had_time_to_renew(
    storage: Storage, clock: Clock
) -> None:
    cache = restarted(storage, clock)
    assert cache.lease(NAME, "waiter")["state"] == "held"
    clock.now += 3.9
    assert cache.lease(NAME, "waiter")["state"] == "held"
    cache.renew([NAME], "holder")
    clock.now += 4
    assert cache.lease(NAME, "waiter")["state"] == "held", "the holder was heard"
    assert cache.lease("datasets/other", "waiter")["state"] == "granted", "nobody renewed that"
    clock.now += 4.1
    assert cache.lease(NAME, "waiter")["state"] == "granted", "the holder is heard no more"


def test_a_restarted_cache_serves_what_is_on_disk_at_once(storage: Storage, clock: Clock) -> None:
    cache = restarted(storage, clock)
    assert cache.statistics()["num_leases"] == 0
    commit(cache, storage, "k")
    assert cache.lease("datasets/k", "waiter")["state"] == "found"


def test_threads_of_one_client_compute_once_where_a_restarted_cache_knows_of_no_lease(storage: Storage) -> None:
    class Forgetful(StrategyCache):
        """Is restarted whenever it has granted something."""

        def lease(self, name: str, holder: str) -> LeaseReply:
            self._leases.clear()
            return super().lease(name, holder)

    client = StrategyCacheClient(storage, holder="one", cache=Forgetful(storage.location))
    begun, waits, ran = threading.Event(), threading.Event(), []

    def slow(work: Storage) -> Origin:
        ran.append(work.location)
        begun.set()
        assert waits.wait(20)
        return compute(work)

    @contextmanager
    def release_worker() -> Iterator[None]:
        waits.set()
        yield

    first = threading.Thread(target=lambda: client.dataset("k", slow), daemon=True)
    first.start()
    assert begun.wait(20)
    client.dataset("k", slow, release_worker=release_worker)
    first.join(20)
    assert len(ran) == 1


def test_the_longest_prefix_that_is_there_is_found(cache: StrategyCache, storage: Storage) -> None:
    assert cache.lookup(["a", "b", "c"]) is None
    for key in ("a", "b"):
        commit(cache, storage, key, key)
    found = cache.lookup(["a", "b", "c"])
    assert found is not None
    assert found[0] == 1
    Path(storage.path("datasets/b/part-000000.arrow")).write_bytes(b"damaged")
    found = cache.lookup(["a", "b", "c"])
    assert found is not None
    assert found[0] == 0


def test_what_crosses_to_a_cache_and_back_is_plain_data(cache: StrategyCache, storage: Storage) -> None:
    commit(cache, storage, "k")
    cache.lease("datasets/x", "one")
    answers = (
        cache.ready(),
        cache.lookup(["k"]),
        cache.lease("datasets/k", "two"),
        cache.commit_score("s", "{}", holder="one"),
        cache.statistics(),
        cache.verify(),
        cache.prune(max_bytes=0),
    )
    for answer in answers:
        json.dumps(answer)
        assert b"actors" not in pickle.dumps(answer), "a class of ours would travel"


class Puts:
    """Counts what is put into the object store."""

    def __init__(self) -> None:
        self.num = 0

    def __call__(self, table: pa.Table) -> pa.Table:
        self.num += 1
        return table


def test_tables_live_within_a_bound_and_the_least_recently_used_go(storage: Storage) -> None:
    size, puts = rows("a").nbytes, Puts()
    cache = StrategyCache(storage.location, object_bytes=2 * size, put=puts)
    for key in ("a", "b", "c"):
        commit(cache, storage, key, key)
    for key, num_puts in (("a", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 4)):
        assert cache.get(key) == [rows(key)]
        assert puts.num == num_puts, key
    assert cache.statistics()["object_bytes"] == 2 * size
    cache.release()
    assert (cache.statistics()["num_objects"], cache.statistics()["object_bytes"]) == (0, 0)
    cache.get("a")
    assert puts.num == 5


def test_a_table_over_the_bound_is_served_and_not_kept(storage: Storage) -> None:
    cache = StrategyCache(storage.location, object_bytes=1)
    commit(cache, storage, "a")
    assert cache.table("a") == rows("t")
    assert cache.statistics()["num_objects"] == 0


def test_rows_that_are_gone_or_damaged_are_never_served(cache: StrategyCache, storage: Storage) -> None:
    with pytest.raises(RunError, match="no dataset k any more"):
        cache.get("k")
    commit(cache, storage, "k")
    part = Path(storage.path("datasets/k/part-000000.arrow"))
    data = part.read_bytes()
    part.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(RunError, match="no dataset k any more"):
        cache.get("k")
    assert cache.lease("datasets/k", "one")["state"] == "granted"
