"""The strategy cache: entries are whole, checked, published once, and found again."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from actors.storage import Storage
from actors.stored_dataset import MANIFEST, StoredDataset
from actors.strategy_cache import CachedDataset, Origin, StrategyCache
from operators.record import RECORD_SCHEMA

KEY = "k" * 64


@pytest.fixture(params=["local", "remote"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield Storage.at(tmp_path / "cache")
        return
    found = Storage.at(f"fsspec+memory://cache-{uuid.uuid4().hex}/cache")
    yield found
    found.delete()


def rows(text: str) -> pa.Table:
    row = {"id": "r", "history": [], "question": text, "answer": text, "origin": "source"}
    return pa.Table.from_pylist([row], schema=RECORD_SCHEMA)


def origin(run_id: str = "run-1") -> Origin:
    return Origin(run_id=run_id, strategy="cleaning", seconds=1.5)


def computed(cache: StrategyCache, text: str = "t") -> Storage:
    work = cache.workspace()
    StoredDataset.write(work, [rows(text)], {"dropped:short": 1})
    return work


def question(entry: CachedDataset | None) -> str:
    assert entry is not None
    return str(entry.dataset.read()["question"][0])


class Overtaken(StrategyCache):
    """A cache in which another run commits right after this one has looked."""

    def __init__(self, storage: Storage, other: StrategyCache) -> None:
        super().__init__(storage)
        self._other: StrategyCache | None = other

    def lookup(self, key: str) -> CachedDataset | None:
        found = super().lookup(key)
        if self._other is not None:
            other, self._other = self._other, None
            other.commit(key, computed(other, "theirs"), origin("run-2"))
        return found


def test_a_committed_dataset_is_found_with_its_origin_and_counts(storage: Storage) -> None:
    cache = StrategyCache(storage)
    assert cache.lookup(KEY) is None
    committed = cache.commit(KEY, computed(cache), origin())
    found = StrategyCache(storage).lookup(KEY)
    assert found == committed
    assert question(found) == "t"
    assert committed.origin == origin()
    assert committed.dataset.manifest.counts == {"dropped:short": 1}


def test_the_first_commit_stays_and_the_seconds_work_is_gone(storage: Storage) -> None:
    cache = StrategyCache(storage)
    cache.commit(KEY, computed(cache, "first"), origin("run-1"))
    second = cache.commit(KEY, computed(cache, "second"), origin("run-2"))
    assert question(second) == "first"
    assert second.origin.run_id == "run-1"
    assert storage.names("work") == []


def test_a_run_that_is_overtaken_while_it_commits_takes_the_entry_that_is_there(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    cache = Overtaken(storage, StrategyCache(storage))
    found = cache.commit(KEY, computed(cache, "ours"), origin("run-1"))
    assert question(found) == "theirs"
    assert found.origin.run_id == "run-2"
    assert storage.names("work") == []


def test_work_that_was_never_committed_is_not_found(storage: Storage) -> None:
    cache = StrategyCache(storage)
    computed(cache)
    assert cache.lookup(KEY) is None
    assert list(cache.origins()) == []


@pytest.mark.parametrize("damage", ["part", "manifest", "origin", "lost part", "lost origin"])
def test_a_damaged_entry_is_set_aside_with_a_warning_and_can_be_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = StrategyCache(Storage.at(tmp_path))
    cache.commit(KEY, computed(cache, "old"), origin())
    entry = tmp_path / "datasets" / KEY
    file = entry / {"part": "part-000000.arrow", "manifest": MANIFEST}.get(damage.split()[-1], "made_by.json")
    if damage.startswith("lost"):
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        assert cache.lookup(KEY) is None
    assert "computed again" in caplog.text
    assert not entry.exists()
    assert [path.name.startswith(KEY) for path in (tmp_path / "damaged").iterdir()] == [True]
    assert question(cache.commit(KEY, computed(cache, "new"), origin())) == "new"
    assert question(cache.lookup(KEY)) == "new"


def test_an_entry_whose_manifest_has_not_arrived_yet_is_not_there(storage: Storage) -> None:
    cache = StrategyCache(storage)
    cache.commit(KEY, computed(cache), origin())
    storage.delete(f"datasets/{KEY}/{MANIFEST}")
    assert cache.lookup(KEY) is None
    assert list(cache.origins()) == []


def test_scores_are_kept_by_key(storage: Storage) -> None:
    cache = StrategyCache(storage)
    assert cache.score("s1") is None
    assert list(cache.scores()) == []
    cache.record_score("s1", '{"r": 1}')
    cache.record_score("s2", '{"r": 2}')
    assert StrategyCache(storage).score("s1") == '{"r": 1}'
    assert list(cache.scores()) == ['{"r": 1}', '{"r": 2}']


def test_a_score_that_is_set_aside_is_not_found_but_kept(storage: Storage) -> None:
    cache = StrategyCache(storage)
    cache.record_score("s1", "{")
    cache.set_aside_score("s1")
    assert cache.score("s1") is None
    assert len(storage.names("damaged")) == 1


def test_origins_tell_of_every_entry(storage: Storage) -> None:
    cache = StrategyCache(storage)
    for key in ("a", "b"):
        cache.commit(key, computed(cache), origin(f"run-{key}"))
    assert [one.run_id for one in cache.origins()] == ["run-a", "run-b"]
