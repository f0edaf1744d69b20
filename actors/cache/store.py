"""What is already computed, on disk: processed datasets by dataset key, scores by score key. Disk is the truth.

An entry appears after it is whole, so a reader finds all of it or nothing; one whose bytes are not those that were
written is set aside, so it is computed again. Knows keys, not how they are made (see autodp_ray/keys.py), and nothing
of who else is at work (see cache.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from actors.data.stored_dataset import MANIFEST, StoredDataset
from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from operators.contract.errors import RunError

log = logging.getLogger(__name__)

T = TypeVar("T")

ORIGIN = "made_by.json"
_OF_AN_ENTRY = re.compile(rf"{re.escape(ORIGIN)}|part-\d{{6}}\.arrow|\.tmp-.*")
DATASETS, SCORES, USED, WORK, DAMAGED = "datasets", "scores", "used", "work", "damaged"


class Origin(BaseModel):
    """Which run computed a cached dataset, and what it cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    strategy: str
    seconds: float
    counts: Mapping[str, int] = {}
    """By reason, of all teams up to this one: shorter prefixes may be pruned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedDataset:
    """A whole processed dataset and where it came from."""

    dataset: StoredDataset
    origin: Origin


class StrategyStore:
    """Processed datasets and scores under one storage folder."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def has(self, key: str) -> bool:
        """Whether there is a dataset under a key. Reads and changes nothing else."""
        return self.storage.exists(f"{DATASETS}/{key}/{MANIFEST}")

    def lookup(self, key: str, *, note_use: bool = True) -> CachedDataset | None:
        """The dataset under a key, every byte of it checked, or None. A damaged one is set aside."""
        found = self._or_set_aside(key, self._checked)
        if found is not None and note_use:
            self._note_use(key)
        return found

    def read(self, key: str) -> pa.Table | None:
        """The rows of the dataset under a key, out of the very bytes that were checked. A damaged one is set aside."""
        return self._or_set_aside(key, lambda key: self._open(key).read())

    def workspace(self) -> Storage:
        """An empty folder to compute an entry in; `commit` moves it into place."""
        return self.storage.folder(f"{WORK}/{int(time.time())}-{uuid.uuid4().hex}")

    def workspace_of(self, key: str, holder: str) -> Storage:
        """The folder that a holder computes an entry in, with what its earlier attempts have left there."""
        return self.storage.folder(f"{WORK}/{key}-{hashlib.sha256(holder.encode()).hexdigest()[:16]}")

    def commit(self, key: str, work: Storage, origin: Origin) -> CachedDataset:
        """Publish a whole dataset under its key. Where another run was first, its entry stays and is returned.

        Raises: FileNotFoundError where the work is not whole, RunError where another run committed at the same moment.
        """
        if (first := self.lookup(key)) is not None:
            work.delete()
            return first
        work.write_bytes(ORIGIN, sealed(origin.model_dump_json(), beside=work.read_bytes(MANIFEST)))
        self.set_aside_torn(key)
        name = self.storage.name_of(work)
        assert name is not None, "work that lies in no workspace"
        try:
            self.storage.move_folder(name, f"{DATASETS}/{key}", last=MANIFEST)
        except OSError:  # another run's entry arrived since the lookup
            if (first := self.lookup(key)) is None:
                raise
            work.delete()
            return first
        if (first := self.lookup(key)) is None:
            raise RunError(f"another run wrote the cache entry {key} at the same moment; go on with --resume")
        return first

    def set_aside_torn(self, key: str) -> bool:
        """Take a folder that lost its manifest out of the way, so that an entry can come in its place.

        Only where it is local: elsewhere entries arrive file by file, the manifest last.
        """
        name = f"{DATASETS}/{key}"
        if not self.storage.is_local or not self.storage.exists(name) or self.has(key):
            return False
        if not all(_OF_AN_ENTRY.fullmatch(file) for file in self.storage.files(name)):
            return False  # somebody else's folder
        self._set_aside(key, reason=f"{self.storage.shown_uri(name)} has no manifest")
        return True

    def remove(self, key: str) -> None:
        """Let go of a dataset so that a kill in between leaves no part of it in its place."""
        name = f"{DATASETS}/{key}"
        if self.storage.is_local:
            gone = f"{DAMAGED}/{key}-{uuid.uuid4().hex[:8]}"
            with contextlib.suppress(FileNotFoundError):  # another one was faster
                self.storage.rename(name, gone)
            self.storage.delete(gone)
        else:
            self.storage.delete(f"{name}/{MANIFEST}")  # first: without it the rest is no entry, and is written over
            self.storage.delete(name)

    def score(self, key: str, *, note_use: bool = True) -> str | None:
        """The recorded training outcome under a score key as JSON text, or None. A damaged one is set aside."""
        try:
            found = read_outcome(self.storage, key)
        except FileNotFoundError:
            return None
        except RunError:
            self.set_aside_score(key)
            return None
        if note_use:
            self._note_use(key)
        return found

    def record_score(self, key: str, outcome_json: str) -> None:
        self.storage.write_bytes(f"{SCORES}/{key}.json", sealed(outcome_json))
        self._note_use(key)

    def set_aside_score(self, key: str) -> None:
        """Take a score that cannot be read out of the way."""
        target = f"{DAMAGED}/{key}-{uuid.uuid4().hex[:8]}.json"
        log.warning("the cached score %s cannot be read; it goes to %s and is computed again", key, target)
        try:
            self.storage.rename(f"{SCORES}/{key}.json", target)
        except FileNotFoundError:
            log.info("the cached score %s is set aside already", key)

    def _or_set_aside(self, key: str, read: Callable[[str], T]) -> T | None:
        if not self.has(key):
            return None
        try:
            return read(key)
        except (RunError, FileNotFoundError) as error:
            self._set_aside(key, reason=str(error))
            return None

    def _checked(self, key: str) -> CachedDataset:
        dataset = self._open(key)
        dataset.verify()
        return CachedDataset(dataset=dataset, origin=read_origin(dataset.folder))

    def _open(self, key: str) -> StoredDataset:
        folder = self.storage.folder(f"{DATASETS}/{key}")
        dataset = StoredDataset.open(folder)
        if dataset is None:
            raise FileNotFoundError(f"{folder.uri(MANIFEST)} is gone")
        return dataset

    def _note_use(self, key: str) -> None:
        """What is pruned first was used longest ago."""
        self.storage.write_text(f"{USED}/{key}", repr(time.time()))

    def _set_aside(self, key: str, *, reason: str) -> None:
        target = f"{DAMAGED}/{key}-{uuid.uuid4().hex[:8]}"
        log.warning("%s; the cache entry goes to %s and is computed again", reason, target)
        try:
            self.storage.move_folder(f"{DATASETS}/{key}", target, last=MANIFEST)
        except FileNotFoundError:
            log.info("the cache entry %s is set aside already", key)


def read_origin(folder: Storage) -> Origin:
    """Where the dataset in a folder of the store came from.

    Raises: RunError where it, or the manifest beside it, is not what was written.
    """
    text = unsealed(folder.read_bytes(ORIGIN), beside=folder.read_bytes(MANIFEST))
    try:
        return Origin.model_validate_json(text)
    except ValidationError as error:
        raise RunError(f"{folder.uri(ORIGIN)} cannot be read") from error


def read_outcome(storage: Storage, key: str) -> str:
    """The training outcome under a score key as JSON text.

    Raises: FileNotFoundError where there is none, RunError where it is not what was written.
    """
    return unsealed(storage.read_bytes(f"{SCORES}/{key}.json"))
