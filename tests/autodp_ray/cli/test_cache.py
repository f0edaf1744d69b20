"""`autodp cache`: lists, checks and prunes what is on disk, for people and machines."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from actors.cache.store import StrategyStore
from actors.storage.storage import Storage
from autodp_ray.cli.main import app
from autodp_ray.strategy import Strategy
from tests.autodp_ray.run_fakes import FakeRecipe, config_values, make_processor, stored


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StrategyStore:
    """A cache under the current folder that holds two datasets and a score."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    root = Storage.at(tmp_path / ".autodp")
    source = stored(root.folder("in"), ["a"])
    make_processor(root, FakeRecipe()).process(source, Strategy.parse("cleaning>optimization"))
    store = StrategyStore(root.folder("cache"))
    store.record_score("s", "{}")
    return store


def autodp(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cache", *arguments])


def test_entries_are_listed_with_what_they_are_and_take(cache: StrategyStore) -> None:
    shown = autodp("ls")
    assert shown.exit_code == 0
    assert "cleaning>optimization" in shown.output
    assert "3 entries" in shown.output
    body = json.loads(autodp("ls", "--json").stdout)
    assert [entry["kind"] for entry in body["entries"]] == ["dataset", "dataset", "score"]
    assert body["num_bytes"] == sum(entry["num_bytes"] for entry in body["entries"]) > 0
    assert body["location"] == cache.storage.location


def test_a_cache_is_named_by_the_config_of_its_runs(cache: StrategyStore, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(config_values("data.jsonl", storage=str(tmp_path / "nowhere"))))
    missing = autodp("ls", str(config))
    assert missing.exit_code == 2
    assert "there is no cache at" in missing.stderr
    found = autodp("ls", str(config), "--set", f"storage={tmp_path / '.autodp'}", "--json")
    assert len(json.loads(found.stdout)["entries"]) == 3
    assert autodp("ls", "--set", "storage=x").exit_code == 2


def test_damage_is_named_set_aside_and_said_by_the_exit_code(cache: StrategyStore) -> None:
    assert (autodp("verify").exit_code, autodp("verify").output) == (0, "3 entries checked, 0 damaged\n")
    key = cache.storage.names("datasets")[0]
    cache.storage.write_bytes(f"datasets/{key}/part-000000.arrow", b"x")
    found = autodp("verify", "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout) == {"num_checked": 3, "damaged": [f"datasets/{key}"]}
    assert json.loads(autodp("verify", "--json").stdout) == {"num_checked": 2, "damaged": []}


def test_pruning_keeps_what_was_used_last(cache: StrategyStore) -> None:
    old = cache.storage.names("datasets")[0]
    cache.storage.write_text(f"used/{old}", repr(time.time() - 40 * 24 * 3600))
    body = json.loads(autodp("prune", "--max-age-days", "30", "--json").stdout)
    assert [entry["key"] for entry in body["removed"]] == [old]
    assert not cache.has(old)
    assert "0 entries gone" in autodp("prune", "--max-size", "1GB").output
    assert "2 entries gone" in autodp("prune", "--max-size", "0").output


@pytest.mark.parametrize("size", ["many", "-1", "3 XB", "GB", "1e", "1e999GB", "nan"])
def test_a_size_that_is_none_is_bad_input(cache: StrategyStore, size: str) -> None:
    found = autodp("prune", f"--max-size={size}")
    assert found.exit_code == 2
    assert "write for example 20GB" in found.stderr


@pytest.mark.parametrize("days", ["-1", "nan", "inf"])
def test_an_age_that_is_none_is_bad_input(cache: StrategyStore, days: str) -> None:
    found = autodp("prune", f"--max-age-days={days}")
    assert found.exit_code == 2
    assert "write for example 30" in found.stderr


def test_pruning_wants_to_know_what_to_keep(cache: StrategyStore) -> None:
    found = autodp("prune", "--json")
    assert found.exit_code == 2
    assert "say what to keep" in json.loads(found.stdout)["error"]
