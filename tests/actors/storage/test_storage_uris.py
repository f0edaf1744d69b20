"""Locations as users write them: what is joined to a URI goes before its query, and opens what it names."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from actors.cache.store import Origin, StrategyStore
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import storage_locations
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import records

QUERY = "?endpoint_override=http%3A%2F%2F127.0.0.1%3A9000&scheme=http&region=us-east-1"
URIS = [
    (f"s3://bucket/p{QUERY}", f"s3://bucket/p/a/b{QUERY}"),
    (f"s3://bucket/p/{QUERY}", f"s3://bucket/p/a/b{QUERY}"),
    (
        "s3://bucket/p?endpoint_override=http://h:9/x/&scheme=http",
        "s3://bucket/p/a/b?endpoint_override=http://h:9/x/&scheme=http",
    ),
    ("s3://KEY:SECRET@bucket", "s3://KEY:SECRET@bucket/a/b"),
    ("s3://bucket/my%20runs", "s3://bucket/my%20runs/a/b"),
    ("s3://bucket/my runs", "s3://bucket/my%20runs/a/b"),
    ("gs://anonymous@bucket/p?retry_limit_seconds=3", "gs://anonymous@bucket/p/a/b?retry_limit_seconds=3"),
    ("abfs://box@me.dfs.core.windows.net/p/", "abfs://box@me.dfs.core.windows.net/p/a/b"),
    ("fsspec+memory://box/what?/p", "fsspec+memory://box/what?/p/a/b"),
]


@pytest.mark.parametrize(("location", "joined"), URIS)
def test_what_is_joined_goes_before_the_query(location: str, joined: str) -> None:
    storage = Storage.at(location)
    assert storage.uri("a/b") == joined
    assert storage.folder("a").folder("b").location == joined
    assert Storage.at(joined) == storage.folder("a/b")
    assert storage.folder("a/b").place() == (storage.folder("a"), "b")
    assert storage.folder("a").beside(".work").uri("x") == storage.uri("a.work/x")
    assert storage.name_of(storage.folder("a/b")) == "a/b"
    assert storage.name_of(Storage.at("s3://other/p/a")) is None
    runs, cache = storage_locations(location)
    assert len({runs.location, cache.location, runs.folder("1").location, runs.folder("2").location}) == 4


def test_names_with_odd_letters_are_escaped_in_uris_alone() -> None:
    storage = Storage.at("s3://bucket/p?region=eu")
    assert storage.uri("a b?#%.txt") == "s3://bucket/p/a%20b%3F%23%25.txt?region=eu"
    assert storage.folder("a b").place() == (storage, "a b")
    assert storage.name_of(storage.folder("ä b")) == "ä b"
    local = Storage.at("/data/what?#")
    assert local.uri("a b") == "/data/what?#/a b"
    assert local.folder("x").place() == (local, "x")


def test_local_paths_in_all_their_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = str(tmp_path / "my data")
    for spelling in (
        "my data",
        "./my data/",
        "~/my data",
        wanted,
        f"file://{quote(wanted)}",
        f"file://localhost{wanted}/",
    ):
        assert Storage.at(spelling).location == wanted, spelling
    assert Storage.at(f"file:{wanted}").location == wanted


@pytest.mark.parametrize(
    "wrong", ["s3://bucket/p#x", "file://other/p", "file:///p?x=1", "a\0b", "x" * 5000, "~nobody-of-this-name/x"]
)
def test_a_location_that_no_folder_has_is_one_line(wrong: str) -> None:
    with pytest.raises(InputError) as caught:
        Storage.at(wrong)
    assert len(str(caught.value)) < 500


@pytest.fixture
def by_query(s3_bucket: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """The bucket by a URI that says all that it takes to reach it."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    return Storage.at(f"s3://tests:tests@autodp/by query?endpoint_override={quote(endpoint, safe='')}&scheme=http")


def test_a_cache_in_a_bucket_that_is_named_with_a_query_holds_every_entry(by_query: Storage) -> None:
    store = StrategyStore(by_query.folder("cache"))
    for key in ("a", "b"):
        work = store.workspace()
        StoredDataset.write(work, [records([f"of {key}"])])
        store.commit(key, work, Origin(run_id="r", strategy=key, seconds=1.0))
    store.record_score("s", '{"r": 1}')
    assert by_query.folder("cache").names("datasets") == ["a", "b"]
    for key in ("a", "b"):
        found = store.lookup(key)
        assert found is not None
        assert found.dataset.read()["answer"].to_pylist() == [f"of {key}"]
    assert Storage.at(by_query.uri("cache/scores/s.json")).exists()
    assert "tests:tests" not in by_query.shown
