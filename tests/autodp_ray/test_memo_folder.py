"""Sqlite files lie on a disk that one machine alone opens, apart for every storage, and go with a run's fresh start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.llm.spec import LLMEndpoint
from actors.storage.storage import Storage
from autodp_ray.memo_folder import COMPLETION_FILES, COMPLETIONS, memo_folder
from autodp_ray.run_contents import CONFIG
from autodp_ray.runs.folder import RunFolder
from autodp_ray.runs.services import _Stores


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache."""
    monkeypatch.delenv("AUTODP_SHARED_STORAGE", raising=False)
    monkeypatch.setenv("AUTODP_CACHE", str(tmp_path / "own"))
    return tmp_path / "own"


def test_a_storage_of_this_machine_holds_its_own_memory(tmp_path: Path) -> None:
    assert memo_folder(Storage.at(tmp_path / "cache")) == tmp_path / "cache"


def test_a_storage_that_others_see_has_its_memory_in_the_users_cache(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert memo_folder(Storage.at("s3://a/cache")).is_relative_to(own)
    monkeypatch.setenv("AUTODP_SHARED_STORAGE", "1")
    assert memo_folder(Storage.at(tmp_path / "cache")).is_relative_to(own)


def test_storages_of_one_name_in_different_places_share_no_memory() -> None:
    places = ("s3://a/exp1/run", "s3://a/exp2/run", "s3://b/exp1/run", "gs://a/exp1/run")
    assert len({memo_folder(Storage.at(place)) for place in places}) == 4
    assert memo_folder(Storage.at("s3://a/run")) == memo_folder(Storage.at("s3://a/run/"))


def test_completions_keep_off_a_mount(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODP_SHARED_STORAGE", "1")
    run, cache = (Storage.at(tmp_path / name) for name in ("run", "cache"))
    stores = _Stores(run=run, cache=cache)
    for revision, scope in (("abc", cache), (None, run)):
        stores.open(LLMEndpoint(base_url="http://localhost/v1", model="m", revision=revision)).close()
        assert (memo_folder(scope) / COMPLETIONS).is_file()
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists()
    assert len(list(own.rglob(COMPLETIONS))) == 2


def test_a_fresh_start_forgets_the_completions_of_the_run_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTODP_SHARED_STORAGE", "1")
    run, other = (Storage.at(tmp_path / name / "run") for name in ("exp1", "exp2"))
    for storage in (run, other):
        memo_folder(storage).mkdir(parents=True)
        for name in COMPLETION_FILES:
            (memo_folder(storage) / name).write_text("x")
    description: dict[str, object] = {"run_id": "r", "settings": {}, "config_path": None, "cache": "c"}
    run.write_text(CONFIG, json.dumps(description))
    RunFolder(run).clear()
    assert list(memo_folder(run).iterdir()) == []
    assert len(list(memo_folder(other).iterdir())) == 4
