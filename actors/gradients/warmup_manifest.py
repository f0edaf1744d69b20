"""What a finished warm-up left in its folder. Knows no torch, so that a driver can look without loading it."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict

from actors.storage import Storage

MANIFEST = "warmup.json"


class CheckpointEntry(BaseModel):
    """One checkpoint's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    learning_rate: float
    step: int
    checksum: str


class WarmupManifest(BaseModel):
    """What a finished warm-up left in its folder; written last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoints: tuple[CheckpointEntry, ...]
    num_rows: int

    @property
    def digest(self) -> str:
        """sha256 over the contents of all checkpoints and their learning rates."""
        body = [[one.checksum, one.learning_rate, one.step] for one in self.checkpoints]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return tuple(one.learning_rate for one in self.checkpoints)


def read_manifest(folder: Storage) -> WarmupManifest | None:
    """The manifest of a finished warm-up, or None."""
    if not folder.exists(MANIFEST):
        return None
    return WarmupManifest.model_validate_json(folder.read_text(MANIFEST))
