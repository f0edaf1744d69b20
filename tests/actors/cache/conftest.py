"""A cache on disk whose time stands still."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.cache.cache import StrategyCache
from actors.storage.storage import Storage
from tests.actors.cache.small_caches import Clock


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(tmp_path / "cache")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(storage: Storage, clock: Clock) -> StrategyCache:
    return StrategyCache(storage.location, lease_s=10, clock=clock)
