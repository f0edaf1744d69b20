"""What a strategy is applied to: a run's own rows, or another dataset; and what was left out of it before.

Knows how rows are read and stored. Knows no strategy and no result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.ingest.store_dataset import StoredInput
from autodp_ray.preparation.preparation import Prepared
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.files.dataset_folders import QUARANTINED
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.output.output_files import names_a_file, output_file
from autodp_ray.records.quarantine import QUARANTINE_FILE, Quarantine
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.run_contents import QUARANTINE, WORK
from autodp_ray.runs.open_run import OpenRun
from operators.contract.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedSource:
    """What a strategy is applied to, and what was left out of it before."""

    dataset: StoredDataset
    layout: Layout
    num_in: int
    num_quarantined: int
    quarantine_reasons: Mapping[str, int]
    quarantine_file: str
    """Where quarantined rows are, if there is one."""
    num_held_out: int


def own_rows(run: OpenRun, prepared: Prepared, *, with_held_out: bool) -> AppliedSource:
    """The run's train split, and with it the held-out rows where they are asked for."""
    held_out = (prepared.guide, prepared.validation, prepared.test)
    num_held_out = sum(each.num_rows for each in held_out)
    quarantine_file = run.folder.storage.uri(f"{QUARANTINE}/{QUARANTINE_FILE}")
    if not with_held_out:
        return AppliedSource(
            dataset=prepared.train,
            layout=prepared.layout,
            num_in=prepared.num_in,
            num_quarantined=prepared.num_quarantined,
            quarantine_reasons=prepared.quarantine_reasons,
            quarantine_file=quarantine_file,
            num_held_out=num_held_out + prepared.num_set_aside,
        )
    work = run.folder.storage.folder(f"{WORK}/everything")
    batches = (batch for each in (prepared.train, *held_out) for batch in each.batches())
    return AppliedSource(
        dataset=StoredDataset.write(work, batches),
        layout=prepared.layout,
        num_in=prepared.num_in,
        num_quarantined=prepared.num_quarantined,
        quarantine_reasons=prepared.quarantine_reasons,
        quarantine_file=quarantine_file,
        num_held_out=prepared.num_set_aside,
    )


def whole_source(stored: StoredInput, *, quarantine_file: str) -> AppliedSource:
    """A whole dataset as it was read."""
    return AppliedSource(
        dataset=stored.dataset,
        layout=stored.layout,
        num_in=stored.dataset.num_rows + stored.num_quarantined,
        num_quarantined=stored.num_quarantined,
        quarantine_reasons=stored.quarantine_reasons,
        quarantine_file=quarantine_file,
        num_held_out=0,
    )


def require_writable(target: Storage, layout: Layout) -> None:
    """Raises: InputError for an output that is named like a file of another format than what is written."""
    output_file(target.place()[1], layout)


def fitting_files(config: DatasetConfig) -> list[SourceFile]:
    """The files of a dataset that is read as these settings say; where they do not fit, as it tells itself.

    Raises: InputError where nothing is there to be read.
    """
    return _fitting(config, lambda settings: find_files(resolved(settings)))[1]


def fitting_layout(config: DatasetConfig) -> tuple[DatasetConfig, Layout]:
    """The settings that fit, and what they make of the dataset.

    Raises: InputError for a dataset that cannot be read.
    """
    return _fitting(config, scan_layout)


def _fitting(config: DatasetConfig, look: Callable[[DatasetConfig], T]) -> tuple[DatasetConfig, T]:
    kept = ("ids", "nulls", "roles", "preference", "language", "domain", "limit")
    told = DatasetConfig(path=config.path).model_copy(update={name: getattr(config, name) for name in kept})
    try:
        return config, look(config)
    except InputError:
        if told == config:
            raise
    return told, look(told)


def quarantine_of(target: Storage) -> Quarantine:
    """In an output that is a folder, where its readers pass it over, or beside one that is a file."""
    place, name = target.place()
    if names_a_file(name):
        return Quarantine(place, name=f"{name}{QUARANTINED}")
    return Quarantine(target.folder(f"_{QUARANTINE}"))
