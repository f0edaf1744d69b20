"""The strategy store: entries are whole, checked, published once, and found again."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from actors.cache.store import CachedDataset, Origin, StrategyStore
from actors.cache.upkeep import STALE_WORK_S, Verified, entries, origins, outcomes, prune, verify
from actors.data.stored_dataset import MANIFEST, StoredDataset
from actors.storage.storage import Storage
from operators.rows.record import RECORD_SCHEMA

KEY = "k" * 64


@pytest.fixture(params=["local", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield Storage.at(tmp_path / "cache")
        return
    if request.param == "s3":
        yield request.getfixturevalue("s3_bucket").folder(f"cache-{uuid.uuid4().hex}")
        return
    found = Storage.at(f"fsspec+memory://cache-{uuid.uuid4().hex}/cache")
    yield found
    found.delete()


def rows(text: str) -> pa.Table:
    row = {"id": "r", "history": [], "question": text, "answer": text, "origin": "source"}
    return pa.Table.from_pylist([row], schema=RECORD_SCHEMA)


def origin(run_id: str = "run-1") -> Origin:
    return Origin(run_id=run_id, strategy="cleaning", seconds=1.5)


def computed(cache: StrategyStore, text: str = "t") -> Storage:
    work = cache.workspace()
    StoredDataset.write(work, [rows(text)], {"dropped:short": 1})
    return work


def question(entry: CachedDataset | None) -> str:
    assert entry is not None
    return str(entry.dataset.read()["question"][0])


class Overtaken(StrategyStore):
    """A cache in which another run commits right after this one has looked."""

    def __init__(self, storage: Storage, other: StrategyStore) -> None:
        super().__init__(storage)
        self._other: StrategyStore | None = other

    def lookup(self, key: str, *, note_use: bool = True) -> CachedDataset | None:
        found = super().lookup(key, note_use=note_use)
        if self._other is not None:
            other, self._other = self._other, None
            other.commit(key, computed(other, "theirs"), origin("run-2"))
        return found


def test_a_committed_dataset_is_found_with_its_origin_and_counts(storage: Storage) -> None:
    cache = StrategyStore(storage)
    assert cache.lookup(KEY) is None
    committed = cache.commit(KEY, computed(cache), origin())
    found = StrategyStore(storage).lookup(KEY)
    assert found == committed
    assert question(found) == "t"
    assert committed.origin == origin()
    assert committed.dataset.manifest.counts == {"dropped:short": 1}


def test_the_first_commit_stays_and_the_seconds_work_is_gone(storage: Storage) -> None:
    cache = StrategyStore(storage)
    cache.commit(KEY, computed(cache, "first"), origin("run-1"))
    second = cache.commit(KEY, computed(cache, "second"), origin("run-2"))
    assert question(second) == "first"
    assert second.origin.run_id == "run-1"
    assert storage.names("work") == []


def test_a_run_that_is_overtaken_while_it_commits_takes_the_entry_that_is_there(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    cache = Overtaken(storage, StrategyStore(storage))
    found = cache.commit(KEY, computed(cache, "ours"), origin("run-1"))
    assert question(found) == "theirs"
    assert found.origin.run_id == "run-2"
    assert storage.names("work") == []


def test_work_that_was_never_committed_is_not_found(storage: Storage) -> None:
    cache = StrategyStore(storage)
    computed(cache)
    assert cache.lookup(KEY) is None
    assert list(origins(cache)) == []


@pytest.mark.parametrize("damage", ["part", "manifest", "origin", "lost part", "lost origin"])
def test_a_damaged_entry_is_set_aside_with_a_warning_and_can_be_computed_again(
    storage: Storage, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = StrategyStore(storage)
    cache.commit(KEY, computed(cache, "old"), origin())
    names = {"part": "part-000000.arrow", "manifest": MANIFEST, "origin": "made_by.json"}
    file = f"datasets/{KEY}/{names[damage.split()[-1]]}"
    if damage.startswith("lost"):
        storage.delete(file)
    else:
        storage.write_bytes(file, storage.read_bytes(file)[:-3])
    with caplog.at_level(logging.WARNING):
        assert cache.lookup(KEY) is None
    assert "computed again" in caplog.text
    assert not cache.has(KEY)
    assert [name.startswith(KEY) for name in storage.names("damaged")] == [True]
    assert question(cache.commit(KEY, computed(cache, "new"), origin())) == "new"
    assert question(cache.lookup(KEY)) == "new"


@pytest.mark.parametrize("name", ["part-000000.arrow", MANIFEST, "made_by.json"])
def test_no_byte_of_an_entry_can_flip_unseen(tmp_path: Path, name: str) -> None:
    cache = StrategyStore(Storage.at(tmp_path))
    cache.commit(KEY, computed(cache), origin())
    file = tmp_path / "datasets" / KEY / name
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert cache.lookup(KEY) is None, f"byte {at} of {name}"
        assert cache.commit(KEY, computed(cache), origin()).origin == origin()
        assert question(cache.lookup(KEY)) == "t"


def test_no_byte_of_a_score_can_flip_unseen(tmp_path: Path) -> None:
    cache = StrategyStore(Storage.at(tmp_path))
    cache.record_score("s", '{"r": 1.25}')
    file = tmp_path / "scores" / "s.json"
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert cache.score("s") in (None, '{"r": 1.25}'), f"byte {at}"
        cache.record_score("s", '{"r": 1.25}')


def test_rows_are_read_out_of_checked_bytes(storage: Storage) -> None:
    cache = StrategyStore(storage)
    assert cache.read(KEY) is None
    cache.commit(KEY, computed(cache), origin())
    assert cache.read(KEY) == rows("t")
    storage.write_bytes(f"datasets/{KEY}/part-000000.arrow", b"no rows at all")
    assert cache.read(KEY) is None
    assert not cache.has(KEY)


def test_work_that_lost_its_manifest_is_never_published(storage: Storage) -> None:
    cache = StrategyStore(storage)
    work = computed(cache)
    work.delete(MANIFEST)
    with pytest.raises(FileNotFoundError):
        cache.commit(KEY, work, origin())
    assert cache.lookup(KEY) is None


def test_an_entry_whose_manifest_has_not_arrived_yet_is_not_there(storage: Storage) -> None:
    cache = StrategyStore(storage)
    cache.commit(KEY, computed(cache), origin())
    storage.delete(f"datasets/{KEY}/{MANIFEST}")
    assert cache.lookup(KEY) is None
    assert list(origins(cache)) == []


def test_a_folder_that_lost_its_manifest_does_not_stand_in_the_way(storage: Storage) -> None:
    cache = StrategyStore(storage)
    cache.commit(KEY, computed(cache, "old"), origin())
    storage.delete(f"datasets/{KEY}/{MANIFEST}")
    assert question(cache.commit(KEY, computed(cache, "new"), origin())) == "new"
    assert question(cache.lookup(KEY)) == "new"
    assert storage.names("work") == []


def test_verifying_and_pruning_see_a_folder_that_lost_its_manifest(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    cache = StrategyStore(storage)
    for look_after, damaged in ((verify, [KEY]), (prune, [])):
        cache.commit(KEY, computed(cache), origin())
        storage.delete(f"datasets/{KEY}/{MANIFEST}")
        found = look_after(cache)
        assert storage.names("datasets") == []
        assert [name.partition("-")[0] for name in storage.names("damaged")] == damaged
        assert not isinstance(found, Verified) or (found.num_checked, found.damaged) == (1, (f"datasets/{KEY}",))


def test_a_kill_in_the_middle_of_pruning_leaves_no_half_entry_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, delete = Storage.at(tmp_path), Storage.delete
    cache = StrategyStore(storage)
    cache.commit(KEY, computed(cache), origin())

    def killed_after(self: Storage, name: str = "") -> None:
        delete(self, name)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", killed_after)
        with pytest.raises(KeyboardInterrupt):
            prune(cache, max_bytes=0)
    assert storage.names("datasets") == []
    assert question(cache.commit(KEY, computed(cache, "new"), origin())) == "new"


def test_scores_are_kept_by_key(storage: Storage) -> None:
    cache = StrategyStore(storage)
    assert cache.score("s1") is None
    assert list(outcomes(cache)) == []
    cache.record_score("s1", '{"r": 1}')
    cache.record_score("s2", '{"r": 2}')
    assert StrategyStore(storage).score("s1") == '{"r": 1}'
    assert list(outcomes(cache)) == ['{"r": 1}', '{"r": 2}']


def test_a_score_that_is_set_aside_is_not_found_but_kept(storage: Storage) -> None:
    cache = StrategyStore(storage)
    cache.record_score("s1", "{")
    cache.set_aside_score("s1")
    assert cache.score("s1") is None
    assert len(storage.names("damaged")) == 1


def test_origins_tell_of_every_entry(storage: Storage) -> None:
    cache = StrategyStore(storage)
    for key in ("a", "b"):
        cache.commit(key, computed(cache), origin(f"run-{key}"))
    assert [one.run_id for one in origins(cache)] == ["run-a", "run-b"]


def test_entries_tell_size_rows_and_last_use(storage: Storage) -> None:
    cache = StrategyStore(storage)
    before = time.time()
    cache.commit("a", computed(cache), origin())
    cache.record_score("s", "{}")
    dataset, score = entries(cache)
    assert (dataset.kind, dataset.key, dataset.strategy, dataset.num_rows) == ("dataset", "a", "cleaning", 1)
    assert dataset.num_bytes == len(storage.read_bytes("datasets/a/part-000000.arrow"))
    assert (score.kind, score.key, score.num_rows) == ("score", "s", None)
    assert before <= dataset.last_used <= score.last_used <= time.time()


def used_in_order(cache: StrategyStore, *keys: str) -> None:
    """Entries that were last used in this order, an hour apart, the last one now."""
    for hours, key in enumerate(reversed(keys)):
        if not cache.has(key):
            cache.commit(key, computed(cache), origin())
        cache.storage.write_text(f"used/{key}", repr(time.time() - 3600 * hours))


def test_what_was_used_longest_ago_is_pruned_first(storage: Storage) -> None:
    cache = StrategyStore(storage)
    used_in_order(cache, "a", "b", "c")
    size = next(entries(cache)).num_bytes
    cache.lookup("a")
    pruned = prune(cache, max_bytes=2 * size)
    assert [entry.key for entry in pruned.removed] == ["b"]
    assert pruned.num_bytes_left == 2 * size
    assert [cache.has(key) for key in ("a", "b", "c")] == [True, False, True]
    assert storage.names("used") == ["a", "c"]


def test_what_was_not_used_for_too_long_is_pruned_scores_too(storage: Storage) -> None:
    cache = StrategyStore(storage)
    used_in_order(cache, "a", "b")
    cache.record_score("s", "{}")
    storage.write_text("used/s", repr(time.time() - 7200))
    assert {entry.key for entry in prune(cache, max_age_s=1800).removed} == {"a", "s"}
    assert [entry.key for entry in entries(cache)] == ["b"]
    assert prune(cache).removed == ()


def test_pruning_clears_damage_and_what_killed_runs_left_but_no_work_under_way(storage: Storage) -> None:
    cache = StrategyStore(storage)
    stale = storage.folder(f"work/{int(time.time() - STALE_WORK_S) - 9}-{uuid.uuid4().hex}")
    StrategyStore(storage)
    stale.write_text("part-000000.arrow", "half")
    under_way = computed(cache)
    storage.write_text("damaged/x-0123abcd.json", "{")
    prune(cache)
    assert [storage.folder("work").folder(name).location for name in storage.names("work")] == [under_way.location]
    assert storage.names("damaged") == []


def test_work_that_its_holder_never_came_back_to_is_pruned_once_nobody_has_written_there_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.at(tmp_path)
    cache = StrategyStore(storage)
    work = cache.workspace_of("5" * 64, "run-1")
    work.write_text("finished/00000000.json", "{}")
    prune(cache)
    assert work.exists("finished/00000000.json")
    monkeypatch.setattr("actors.cache.upkeep.STALE_WORK_S", -2.0)
    prune(cache)
    assert storage.names("work") == []


def test_verifying_names_what_is_damaged_sets_it_aside_and_counts_as_no_use(storage: Storage) -> None:
    cache, key = StrategyStore(storage), "5" * 64
    used_in_order(cache, "a", "b")
    cache.record_score(key, "{}")
    used = storage.read_text("used/a")
    assert verify(cache).damaged == ()
    assert storage.read_text("used/a") == used
    storage.write_bytes("datasets/b/part-000000.arrow", b"x")
    storage.write_text(f"scores/{key}.json", json.dumps({"checksum": "0", "body": "{}"}))
    found = verify(cache)
    assert (found.num_checked, found.damaged) == (3, ("datasets/b", f"scores/{key}"))
    assert verify(cache).num_checked == 1


def test_upkeep_leaves_files_that_are_no_caches_alone(storage: Storage) -> None:
    """A folder named `cache` may be somebody's who has files of the same names in it."""
    cache = StrategyStore(storage)
    used_in_order(cache, "a")
    theirs = ("datasets/mine/table.csv", "scores/exam.json", "damaged/car.jpg", "work/2020-report/thesis.tex", "used/x")
    for name in theirs:
        storage.write_text(name, "mine")
    assert verify(cache).damaged == ()
    prune(cache, max_bytes=0)
    assert [storage.read_text(name) for name in theirs] == ["mine"] * len(theirs)
    assert not storage.exists("datasets/a")
