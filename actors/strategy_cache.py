"""What is already computed: processed datasets by dataset key, scores by score key. Disk is the truth.

An entry appears after it is whole, so a reader finds all of it or nothing; one whose bytes are not those that were
written is set aside, so it is computed again. Knows keys, not how they are made (see autodp_ray/keys.py).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.storage import Storage
from actors.stored_dataset import MANIFEST, StoredDataset
from operators.errors import RunError

log = logging.getLogger(__name__)

_ORIGIN = "made_by.json"
_DATASETS, _SCORES, _DAMAGED = "datasets", "scores", "damaged"


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
        """The dataset under a key, its bytes checked, or None; a damaged one is set aside."""
        folder = self._storage.folder(f"{_DATASETS}/{key}")
        try:
            dataset = StoredDataset.open(folder)
            if dataset is None:
                return None
            dataset.verify()
            origin = Origin.model_validate_json(folder.read_bytes(_ORIGIN))
        except (RunError, ValidationError, FileNotFoundError) as error:
            self._set_aside(key, reason=str(error) if isinstance(error, RunError) else f"{_ORIGIN} cannot be read")
            return None
        return CachedDataset(dataset=dataset, origin=origin)

    def workspace(self) -> Storage:
        """An empty folder to compute an entry in; `commit` moves it into place."""
        return self._storage.folder(f"work/{uuid.uuid4().hex}")

    def commit(self, key: str, work: Storage, origin: Origin) -> CachedDataset:
        """Publish a whole dataset under its key. Where another run was first, its entry stays and is returned."""
        work.write_text(_ORIGIN, origin.model_dump_json())
        if (first := self.lookup(key)) is None:
            name = work.location.removeprefix(f"{self._storage.location}/")
            try:
                self._storage.move_folder(name, f"{_DATASETS}/{key}", last=MANIFEST)
            except OSError:  # another run's entry arrived since the lookup
                if (first := self.lookup(key)) is None:
                    raise
                work.delete()
                return first
            if (first := self.lookup(key)) is None:
                raise RunError(f"another run wrote the cache entry {key} at the same moment; go on with --resume")
        else:
            work.delete()
        return first

    def score(self, key: str) -> str | None:
        """The recorded training outcome under a score key as JSON text, or None."""
        name = f"{_SCORES}/{key}.json"
        return self._storage.read_text(name) if self._storage.exists(name) else None

    def record_score(self, key: str, outcome_json: str) -> None:
        self._storage.write_text(f"{_SCORES}/{key}.json", outcome_json)

    def set_aside_score(self, key: str) -> None:
        """Take a score that cannot be read out of the way."""
        target = f"{_DAMAGED}/{key}-{uuid.uuid4().hex[:8]}.json"
        log.warning("the cached score %s cannot be read; it goes to %s and is computed again", key, target)
        self._storage.rename(f"{_SCORES}/{key}.json", target)

    def origins(self) -> Iterator[Origin]:
        """Where every cached dataset came from."""
        for key in self._storage.names(_DATASETS):
            if self._storage.exists(f"{_DATASETS}/{key}/{MANIFEST}"):
                yield Origin.model_validate_json(self._storage.read_bytes(f"{_DATASETS}/{key}/{_ORIGIN}"))

    def scores(self) -> Iterator[str]:
        """Every recorded training outcome as JSON text."""
        for name in self._storage.names(_SCORES):
            yield self._storage.read_text(f"{_SCORES}/{name}")

    def _set_aside(self, key: str, *, reason: str) -> None:
        target = f"{_DAMAGED}/{key}-{uuid.uuid4().hex[:8]}"
        log.warning("%s; the cache entry goes to %s and is computed again", reason, target)
        try:
            self._storage.move_folder(f"{_DATASETS}/{key}", target, last=MANIFEST)
        except FileNotFoundError:  # another run was quicker to set it aside
            log.info("the cache entry %s is set aside already", key)
