"""The driver's end of the cache: it finds, or claims, computes and commits; it renews, and gives back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.cache import cache_actor
from actors.cache.cache import StrategyCache, Value
from actors.cache.cache_client import StrategyCacheClient
from actors.cache.store import Origin, StrategyStore
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from operators.contract.errors import EndpointError, RunError
from tests.actors.cache.small_caches import compute, rows


def test_a_client_computes_once_and_finds_afterwards(cache: StrategyCache, storage: Storage) -> None:
    first, second = (StrategyCacheClient(storage, holder=name, cache=cache) for name in ("one", "two"))
    entry = first.dataset("k", compute)

    def never(work: Storage) -> Origin:
        raise AssertionError("computed twice")

    assert second.dataset("k", never) == entry
    assert second.lookup(["k", "longer"]) == (0, entry)
    assert cache.statistics()["num_leases"] == 0


def test_a_cache_is_its_users_alone_with_all_that_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_actor, "RemoteStrategyCache", StrategyCache)
    root = tmp_path / "storage"
    with cache_actor.open_strategy_cache(Storage.at(root / "cache"), holder="one") as client:
        client.dataset("k", compute)
        client.outcome("s", lambda: "{}")
    found = [path for path in root.rglob("*") if path.parent != root or path.name == "cache"]
    assert {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in found} == {(True, "0o700"), (False, "0o600")}


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
