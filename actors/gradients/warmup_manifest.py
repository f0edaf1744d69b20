"""What a finished warm-up left in its folder. Knows no torch, so that a driver can look without loading it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import uuid

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from actors.storage.storage import Storage
from operators.contract.digest import json_digest
from operators.contract.errors import RunError

log = logging.getLogger(__name__)

MANIFEST = "warmup.json"
_DIGEST = "digest"


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
        return json_digest(body)

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return tuple(one.learning_rate for one in self.checkpoints)


def write_manifest(folder: Storage, manifest: WarmupManifest) -> None:
    """Close a warm-up whose checkpoints are all written."""
    body = manifest.model_dump() | {_DIGEST: manifest.digest}
    folder.write_text(MANIFEST, json.dumps(body, indent=2))


def read_manifest(folder: Storage) -> WarmupManifest | None:
    """The manifest of a finished warm-up, or None.

    Raises: RunError where it is not what was written.
    """
    if not folder.exists(MANIFEST):
        return None
    try:
        body = json.loads(folder.read_bytes(MANIFEST))
        digest = body.pop(_DIGEST)
        manifest = WarmupManifest.model_validate(body)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{folder.uri(MANIFEST)} is damaged: it cannot be read") from None
    if manifest.digest != digest:
        raise RunError(f"{folder.uri(MANIFEST)} is damaged: its digest differs")
    return manifest


def read_checkpoint(folder: Storage, entry: CheckpointEntry) -> pa.Buffer:
    """A checkpoint's bytes.

    Raises: RunError where they are gone or not those that were written.
    """
    try:
        data = folder.read_buffer(entry.file)
    except FileNotFoundError:
        raise RunError(f"{folder.uri(entry.file)} is gone, but the manifest names it") from None
    if hashlib.sha256(data).hexdigest() != entry.checksum:
        raise RunError(f"{folder.uri(entry.file)} is damaged: its checksum differs from the manifest's")
    return data


def find_warmup(folder: Storage) -> WarmupManifest | None:
    """The manifest of a finished warm-up of which every byte was checked, or None."""
    try:
        manifest = read_manifest(folder)
        for entry in manifest.checkpoints if manifest is not None else ():
            read_checkpoint(folder, entry)
    except RunError as error:
        log.warning("%s; the warm-up is done again", error)
        return None
    return manifest


def set_aside(folder: Storage) -> None:
    """Take what is no whole warm-up out of the way."""
    root, name = folder.place()
    target = f"damaged-{name}-{uuid.uuid4().hex[:8]}"
    log.warning("%s holds no whole warm-up; it goes to %s", folder.shown, root.shown_uri(target))
    with contextlib.suppress(FileNotFoundError):  # another driver was faster
        root.move_folder(name, target, last=MANIFEST)


def publish(work: Storage, folder: Storage) -> WarmupManifest:
    """Move a finished warm-up into its place beside `work`; where another driver was first, its warm-up stays.

    Raises: RunError where there is none in the end.
    """
    root, name = folder.place()
    try:
        root.move_folder(work.place()[1], name, last=MANIFEST)
    except OSError as error:
        work.delete()
        if read_manifest(folder) is None:
            raise RunError(f"the warm-up cannot be moved to {folder.location}: {error.strerror}") from error
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest
