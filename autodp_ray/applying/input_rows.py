"""The rows of an input in a work folder: read once, found again as long as files and settings stay the same.

Whether files are the same is told by their names, sizes and times of change, as everywhere else; rows themselves are
told apart by their content once they are read, so files that were only touched cost one more reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.data.pool_config import PoolConfig
from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from autodp_ray.applying.source import (
    AppliedSource,
    fitting_files,
    fitting_layout,
    quarantine_of,
    require_writable,
    whole_source,
)
from autodp_ray.cluster.starting import said_while_nodes_come
from autodp_ray.ingest.store_dataset import store_dataset
from autodp_ray.progress import Progress
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.spelling.layout import Layout
from operators.contract.digest import json_digest
from operators.contract.errors import InputError, RunError
from operators.contract.redaction import redacted

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
    """How the files are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: DatasetConfig
    layout: Layout


def input_rows(
    config: DatasetConfig,
    found: InputFiles,
    *,
    work: Storage,
    target: Storage,
    pool: PoolConfig,
    for_models: bool,
    is_another: bool = False,
    progress: Progress,
) -> AppliedSource:
    """The rows of the input in the work folder, where an earlier attempt at reading is gone on with; `for_models` as
    `store_dataset` has it. `is_another`: the settings are those of another dataset, and one that they do not fit is
    read as it tells itself.

    Raises: InputError for a dataset that cannot be read or was changed meanwhile, or an output that cannot hold it.
    """
    name = f"input-{json_digest([found.digest, config.model_dump(mode='json')])[:16]}"
    for other in work.names():
        if other.startswith("input-") and other != name:
            work.delete(other)
    progress.phase("reading")
    folder, quarantine = work.folder(name), quarantine_of(target)
    how = _known(folder) or _found_out(config, folder, is_another=is_another)
    if how.settings != config:
        progress.note(
            f"the run's dataset settings do not fit {redacted(config.path)}; it is read in the form {how.layout.form}, "
            "which its rows tell"
        )
    require_writable(target, how.layout)
    quarantine.delete()
    with quarantine, said_while_nodes_come(progress):
        stored = store_dataset(
            how.settings,
            out=folder.folder("rows"),
            quarantine=quarantine,
            pool=pool,
            layout=how.layout,
            for_models=for_models,
            on_progress=partial(progress.rows, unit="bytes"),
        )
    if InputFiles.of(fitting_files(config)) != found:
        raise InputError("the input was changed while it was read; run the same command again when it is complete")
    progress.note(f"{stored.dataset.num_rows:,} rows read, {stored.num_quarantined:,} quarantined")
    return whole_source(stored, quarantine_file=quarantine.location)


def _known(folder: Storage) -> _Note | None:
    """What an earlier attempt has found out."""
    try:
        return _Note.model_validate_json(unsealed(folder.read_bytes(NOTE), what=folder.shown_uri(NOTE)))
    except (FileNotFoundError, RunError, ValidationError):
        return None


def _found_out(config: DatasetConfig, folder: Storage, *, is_another: bool) -> _Note:
    settings, layout = fitting_layout(config) if is_another else (config, scan_layout(config))
    note = _Note(settings=settings, layout=layout)
    folder.write_bytes(NOTE, sealed(note.model_dump_json()))
    return note
