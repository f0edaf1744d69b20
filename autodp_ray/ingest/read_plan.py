"""What is going to be read and how: layout, splits, the size of parts; kept beside these, for whoever goes on."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.data.pool_config import PartSize, PoolConfig
from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.files.file_ranges import FileRange
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.layout_scan import ScannedInput, scan_input
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.splits.plan import Split, plan_splits
from operators.contract.digest import json_digest
from operators.contract.errors import RunError

PLAN = "read-plan.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """How an input is read."""

    key: str
    """Of the files as they are now, and all settings that the stored rows depend on."""
    config: DatasetConfig
    layout: Layout
    splits: list[Split]
    size: PartSize
    is_new: bool

    def write(self, out: Storage) -> None:
        saved = _SavedPlan(key=self.key, layout=self.layout, splits=tuple(map(_saved, self.splits)))
        out.write_bytes(PLAN, sealed(saved.model_dump_json()))


class _SavedRange(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    start: int
    stop: int | None
    is_nominal: bool
    first_line: int
    known: tuple[str, ...]
    is_open: bool


class _SavedSplit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    ranges: tuple[_SavedRange, ...]
    num_bytes: int
    limit: int | None


class _SavedPlan(BaseModel):
    """A plan as it lies on storage; files are found anew by their paths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    layout: Layout
    splits: tuple[_SavedSplit, ...]


def read_plan(
    config: DatasetConfig,
    out: Storage,
    *,
    layout: Layout | None,
    pool: PoolConfig,
    for_models: bool,
    split_bytes: int | None = None,
) -> ReadPlan:
    """The plan of an earlier call with the same arguments and the same files, or a new one.

    Raises: InputError as `scan_layout` does.
    """
    config = resolved(config)
    files = find_files(config)
    facts = files[0].filesystem.get_file_info([file.path for file in files])
    size = pool.part_size(sum(info.size or 0 for info in facts), for_models=for_models)
    key = json_digest(
        {
            "format": FORMAT_VERSION,
            "config": config.model_dump(mode="json"),
            "layout": None if layout is None else layout.model_dump(mode="json"),
            "files": [[info.path, info.size, info.mtime_ns] for info in facts],
            "parts": [size.rows, size.least_bytes, size.most_bytes],
            "split_bytes": split_bytes,
        }
    )
    scanned = _known(out, key, files)
    is_new = scanned is None
    if scanned is None and layout is not None:
        scanned = ScannedInput(layout=layout, splits=plan_splits(files, limit=config.limit, split_bytes=split_bytes))
    scanned = scanned or scan_input(config, pool=pool, split_bytes=split_bytes)
    return ReadPlan(key=key, config=config, layout=scanned.layout, splits=scanned.splits, size=size, is_new=is_new)


def _known(out: Storage, key: str, files: list[SourceFile]) -> ScannedInput | None:
    """The layout and splits that an earlier call found."""
    try:
        saved = _SavedPlan.model_validate_json(unsealed(out.read_bytes(PLAN), what="a reading plan"))
    except (RunError, OSError, ValidationError):
        return None
    by_path = {file.path: file for file in files}
    if saved.key != key:
        return None
    return ScannedInput(layout=saved.layout, splits=[_opened(split, by_path) for split in saved.splits])


def _saved(split: Split) -> _SavedSplit:
    ranges = tuple(
        _SavedRange(
            path=part.file.path,
            start=part.start,
            stop=part.stop,
            is_nominal=part.is_nominal,
            first_line=part.first_line,
            known=tuple(sorted(part.known)),
            is_open=part.is_open,
        )
        for part in split.ranges
    )
    return _SavedSplit(index=split.index, ranges=ranges, num_bytes=split.num_bytes, limit=split.limit)


def _opened(split: _SavedSplit, files: dict[str, SourceFile]) -> Split:
    ranges = tuple(
        FileRange(
            file=files[part.path],
            start=part.start,
            stop=part.stop,
            is_nominal=part.is_nominal,
            first_line=part.first_line,
            known=frozenset(part.known),
            is_open=part.is_open,
        )
        for part in split.ranges
    )
    return Split(index=split.index, ranges=ranges, num_bytes=split.num_bytes, limit=split.limit)
