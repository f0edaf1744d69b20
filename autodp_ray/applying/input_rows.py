"""The rows of an input in a work folder: read once, found again as long as files and settings stay the same.

Whether files are the same is told by their names, sizes and times of change, as everywhere else; rows themselves are
told apart by their content once they are read, so files that were only touched cost one more reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.data.part_passes import is_whole
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import StoredDataset
from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from autodp_ray.applying.source import (
    AppliedSource,
    fitting_layout,
    quarantine_of,
    require_writable,
    whole_source,
)
from autodp_ray.ingest.store_dataset import StoredInput, store_dataset
from autodp_ray.progress import Progress
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.spelling.layout import Layout
from operators.contract.digest import json_digest
from operators.contract.errors import InputError, RunError

NOTE = "input.json"


class InputFiles(BaseModel):
    """What tells one input from another before it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_files: int
    num_bytes: int
    digest: str
    """Of names, sizes and times of change."""

    @classmethod
    def of(cls, files: Sequence[SourceFile]) -> InputFiles:
        infos = files[0].filesystem.get_file_info([file.path for file in files])  # one filesystem holds them all
        marks = [[file.label, info.size, info.mtime_ns] for file, info in zip(files, infos, strict=True)]
        num_bytes = sum(info.size or 0 for info in infos)
        return cls(num_files=len(files), num_bytes=num_bytes, digest=json_digest(marks))


class _Note(BaseModel):
    """What was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Layout
    num_quarantined: int
    quarantine_reasons: Mapping[str, int]


def input_rows(
    config: DatasetConfig,
    found: InputFiles,
    *,
    work: Storage,
    target: Storage,
    pool: PoolConfig,
    for_models: bool,
    progress: Progress,
) -> AppliedSource:
    """The rows of the input in the work folder, read there unless an earlier attempt has done so; `for_models` as
    `store_dataset` has it.

    Raises: InputError for a dataset that cannot be read, or an output that cannot hold it.
    """
    key = json_digest([found.digest, config.model_dump(mode="json"), pool.part_rows, pool.part_bytes, for_models])
    name = f"input-{key[:16]}"
    for other in work.names():
        if other.startswith("input-") and other != name:
            work.delete(other)
    folder = work.folder(name)
    stored = _known(folder, pool)
    if stored is not None:
        progress.note(f"{stored.dataset.num_rows:,} rows were read before")
        return whole_source(stored, quarantine_file=quarantine_of(target).location)
    progress.phase("reading")
    settings, layout = fitting_layout(config, config.path)
    require_writable(target, layout)
    quarantine = quarantine_of(target)
    quarantine.delete()
    with quarantine:
        stored = store_dataset(
            settings,
            out=folder.folder("rows"),
            quarantine=quarantine,
            pool=pool,
            layout=layout,
            for_models=for_models,
            on_progress=partial(progress.rows, unit="bytes"),
        )
    note = _Note(
        layout=layout, num_quarantined=stored.num_quarantined, quarantine_reasons=dict(stored.quarantine_reasons)
    )
    folder.write_bytes(NOTE, sealed(note.model_dump_json()))
    progress.note(f"{stored.dataset.num_rows:,} rows read, {stored.num_quarantined:,} quarantined")
    return whole_source(stored, quarantine_file=quarantine.location)


def _known(folder: Storage, pool: PoolConfig) -> StoredInput | None:
    """What an earlier attempt has read, where it is there whole."""
    try:
        note = _Note.model_validate_json(unsealed(folder.read_bytes(NOTE), what=folder.shown_uri(NOTE)))
        dataset = StoredDataset.open(folder.folder("rows"))
    except (FileNotFoundError, RunError, ValidationError):
        return None
    if dataset is None or not is_whole(dataset, pool):
        return None
    return StoredInput(
        dataset=dataset,
        layout=note.layout,
        num_quarantined=note.num_quarantined,
        quarantine_reasons=note.quarantine_reasons,
    )


def require_unchanged(before: InputFiles, files: Sequence[SourceFile]) -> None:
    """Raises: InputError where files were changed while they were read."""
    if InputFiles.of(files) != before:
        raise InputError("the input was changed while it was read; run the same command again when it is complete")
