"""What a strategy is applied to: a run's own rows, or another dataset; and what was left out of it before.

Knows how rows are read and stored. Knows no strategy and no result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.preparation.preparation import Prepared, parts_of
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.output_files import output_file
from autodp_ray.records.quarantine import QUARANTINE_FILE, Quarantine
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.run_contents import QUARANTINE, WORK
from autodp_ray.runs.open_run import OpenRun
from operators.contract.errors import InputError


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


def other_rows(run: OpenRun, path: str, *, target: Storage) -> AppliedSource:
    """Another dataset, read whole; rows that cannot be parsed are set aside beside the target.

    Raises: InputError for a dataset that cannot be read.
    """
    settings, layout = _other_layout(run.config.dataset, path)
    require_writable(target, layout)
    with _quarantine(target, layout) as quarantine:
        batches = read_records(settings, on_quarantine=quarantine, layout=layout)
        parts = _parts(batches, run.config.pool.part_rows)
        dataset = StoredDataset.write(run.folder.storage.folder(f"{WORK}/input"), parts)
    return AppliedSource(
        dataset=dataset,
        layout=layout,
        num_in=dataset.num_rows + quarantine.num_rows,
        num_quarantined=quarantine.num_rows,
        quarantine_reasons=quarantine.counts,
        quarantine_file=quarantine.location,
        num_held_out=0,
    )


def require_writable(target: Storage, layout: Layout) -> None:
    """Raises: InputError for an output that is named like a file of another format than what is written."""
    output_file(target.place()[1], layout)


def _other_layout(known: DatasetConfig, path: str) -> tuple[DatasetConfig, Layout]:
    """Read as the run's dataset was; where that does not fit, as the other dataset itself tells."""
    settings = known.model_copy(update={"path": path, "name": None, "corruption": "none", "limit": None})
    told = DatasetConfig(path=path).model_copy(
        update={name: getattr(settings, name) for name in ("ids", "nulls", "roles", "preference", "language", "domain")}
    )
    try:
        return settings, scan_layout(settings)
    except InputError:
        if told == settings:
            raise
    return told, scan_layout(told)


def _quarantine(target: Storage, layout: Layout) -> Quarantine:
    """In the output's folder, or beside an output that is one file."""
    place, name = target.place()
    file = output_file(name, layout)
    if file is None:
        return Quarantine(target.folder("quarantine"))
    return Quarantine(place, name=f"{file.stem}.{QUARANTINE_FILE}")


def _parts(batches: Iterator[pa.Table], part_rows: int) -> Iterator[pa.Table]:
    for batch in batches:
        yield from parts_of(batch, part_rows)
