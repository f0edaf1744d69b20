"""What is already computed: processed datasets by dataset key, scores by score key. Disk is the truth.

An entry appears by one rename after it is whole, so a reader finds all of it or nothing. Knows keys, not how they are
made (see autodp_ray/keys.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from actors.storage import Storage
from actors.stored_dataset import StoredDataset

_ORIGIN = "made_by.json"


class Origin(BaseModel):
    """Which run computed a cached dataset, and what it cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    strategy: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedDataset:
    """A whole processed dataset and where it came from."""

    dataset: StoredDataset
    origin: Origin


class StrategyCache:
    """Processed datasets and scores under one storage folder."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def lookup(self, key: str) -> CachedDataset | None:
        """The dataset under a key, or None."""
        folder = self._storage.folder(f"datasets/{key}")
        dataset = StoredDataset.open(folder)
        if dataset is None:
            return None
        return CachedDataset(dataset=dataset, origin=Origin.model_validate_json(folder.read_text(_ORIGIN)))

    def workspace(self) -> Storage:
        """An empty folder to compute an entry in; `commit` moves it into place."""
        return self._storage.folder(f"work/{uuid.uuid4().hex}")

    def commit(self, key: str, work: Storage, origin: Origin) -> CachedDataset:
        """Publish a whole dataset under its key. Where another run was first, its entry stays and is returned."""
        work.write_text(_ORIGIN, origin.model_dump_json())
        if (first := self.lookup(key)) is None:
            name = work.location.removeprefix(f"{self._storage.location}/")
            self._storage.rename(name, f"datasets/{key}")
            first = self.lookup(key)
            assert first is not None
        else:
            work.delete()
        return first

    def score(self, key: str) -> str | None:
        """The recorded training outcome under a score key as JSON text, or None."""
        name = f"scores/{key}.json"
        return self._storage.read_text(name) if self._storage.exists(name) else None

    def origins(self) -> Iterator[Origin]:
        """Where every cached dataset came from."""
        for key in self._storage.names("datasets"):
            yield Origin.model_validate_json(self._storage.read_text(f"datasets/{key}/{_ORIGIN}"))

    def scores(self) -> Iterator[str]:
        """Every recorded training outcome as JSON text."""
        for name in self._storage.names("scores"):
            yield self._storage.read_text(f"scores/{name}")

    def record_score(self, key: str, outcome_json: str) -> None:
        self._storage.write_text(f"scores/{key}.json", outcome_json)


