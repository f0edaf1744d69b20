"""The strategy cache as a plain class: one lease per name, an end to each, live tables within a bound."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from actors.cache.cache import LeaseReply, StrategyCache, Value
from actors.cache.cache_client import StrategyCacheClient
from actors.cache.store import Origin, StrategyStore
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from operators.contract.errors import EndpointError, RunError
from operators.rows.record import RECORD_SCHEMA

NAME = "datasets/k"


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


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(tmp_path / "cache")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(storage: Storage, clock: Clock) -> StrategyCache:
    return StrategyCache(storage.location, lease_s=10, clock=clock)


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
    def waiting() -> Iterator[None]:
        waits.set()
        yield

    first = threading.Thread(target=lambda: client.dataset("k", slow), daemon=True)
    first.start()
    assert begun.wait(20)
    client.dataset("k", slow, waiting=waiting)
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


def compute(work: Storage) -> Origin:
    StoredDataset.write(work, [rows("t")])
    return ORIGIN


def test_a_client_computes_once_and_finds_afterwards(cache: StrategyCache, storage: Storage) -> None:
    first, second = (StrategyCacheClient(storage, holder=name, cache=cache) for name in ("one", "two"))
    entry = first.dataset("k", compute)

    def never(work: Storage) -> Origin:
        raise AssertionError("computed twice")

    assert second.dataset("k", never) == entry
    assert second.lookup(["k", "longer"]) == (0, entry)
    assert cache.statistics()["num_leases"] == 0


@pytest.mark.parametrize("error", [EndpointError("refused"), KeyboardInterrupt()])
def test_what_a_client_fails_at_is_given_back_and_its_next_attempt_goes_on(
    cache: StrategyCache, storage: Storage, error: BaseException
) -> None:
    def fail(work: Storage) -> Origin:
        work.write_text("half", "done")
        raise error

    def go_on(work: Storage) -> Origin:
        assert work.read_text("half") == "done"
        work.delete("half")
        return compute(work)

    def start(work: Storage) -> Origin:
        assert not work.exists("half")
        return compute(work)

    client = StrategyCacheClient(storage, holder="one", cache=cache)
    for key in ("k", "other"):
        with pytest.raises(type(error)):
            client.dataset(key, fail)
    assert cache.lookup(["k"]) is None
    StrategyCacheClient(storage, holder="one", cache=cache).dataset("k", go_on)
    StrategyCacheClient(storage, holder="two", cache=cache).dataset("other", start)


class Unreachable(StrategyCache):
    """Dies before anything is committed, and does not come back."""

    def commit_dataset(self, key: str, work: str, origin_json: str, *, holder: str) -> Value:
        raise RunError("the actor died 5 times")

    def commit_score(self, key: str, outcome_json: str, *, holder: str) -> Value:
        raise RunError("the actor died 5 times")

    def abandon(self, names: Sequence[str] | None, holder: str) -> None:
        if names is not None:
            raise RunError("the actor died 5 times")


def test_finished_work_is_kept_where_the_cache_cannot_be_told(storage: Storage) -> None:
    client = StrategyCacheClient(storage, holder="one", cache=Unreachable(storage.location))
    entry = client.dataset("k", compute)
    assert client.outcome("s", lambda: '{"r": 1}') == '{"r": 1}'
    after = StrategyStore(storage)
    assert after.lookup("k") == entry
    assert after.score("s") == '{"r": 1}'
    assert storage.names("work") == []


def test_finished_work_that_nobody_can_commit_stays_in_its_workspace(
    cache: StrategyCache, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Storage, source: str, target: str, *, last: str) -> None:
        raise OSError("no space left on device")

    client = StrategyCacheClient(storage, holder="one", cache=cache)
    monkeypatch.setattr(Storage, "move_folder", full)
    with pytest.raises(OSError, match="no space left"):
        client.dataset("k", compute)
    (work,) = storage.names("work")
    assert StoredDataset.open(storage.folder(f"work/{work}")) is not None
    assert cache.lease("datasets/k", "two")["state"] == "granted"


def test_a_client_keeps_its_claim_for_as_long_as_the_work_takes(storage: Storage) -> None:
    now, renewed, seen = [0.0], threading.Semaphore(0), list[str]()

    class Renewed(StrategyCache):
        def renew(self, names: Sequence[str], holder: str) -> None:
            super().renew(names, holder)
            renewed.release()

    cache = Renewed(storage.location, lease_s=0.2, clock=lambda: now[0])
    client = StrategyCacheClient(storage, holder="one", cache=cache)

    def slow(work: Storage) -> Origin:
        for _ in range(6):
            now[0] += 0.15
            while renewed.acquire(blocking=False):
                pass
            assert renewed.acquire(timeout=60)
            seen.append(cache.lease("datasets/k", "two")["state"])
        return compute(work)

    client.dataset("k", slow)
    assert seen == ["held"] * 6


def test_a_client_that_is_closed_gives_back_its_claims_and_commits_nothing(
    cache: StrategyCache, storage: Storage
) -> None:
    client = StrategyCacheClient(storage, holder="one", cache=cache)
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(work: Storage) -> Origin:
        begun.set()
        assert go_on.wait(20)
        return compute(work)

    def work_on() -> None:
        with pytest.raises(RunError, match="the run has ended"):
            client.dataset("k", slow)
        ended.set()

    threading.Thread(target=work_on, daemon=True).start()
    assert begun.wait(20)
    client.close()
    assert cache.lease("datasets/k", "two")["state"] == "granted"
    go_on.set()
    assert ended.wait(20)
    assert cache.lookup(["k"]) is None


def test_a_resumed_run_does_not_wait_for_its_own_claims(cache: StrategyCache, storage: Storage) -> None:
    cache.lease("datasets/k", "run-1")
    StrategyCacheClient(storage, holder="run-1", cache=cache)
    assert cache.lease("datasets/k", "another")["state"] == "granted"


def test_workers_are_handed_paths_where_rows_lie_on_disk_and_live_rows_elsewhere(
    tmp_path: Path, s3_bucket: Storage
) -> None:
    local, remote = Storage.at(tmp_path), s3_bucket.folder(f"rows-{tmp_path.name}")
    for storage in (local, remote):
        cache = StrategyCache(storage.location)
        client = StrategyCacheClient(storage, holder="one", cache=cache)
        handed = client.rows(client.dataset("k", compute).dataset)
        if storage.is_local:
            assert handed == (str(tmp_path / "datasets/k/part-000000.arrow"),)
        else:
            assert handed == rows("t")
            assert cache.statistics()["num_objects"] == 1
