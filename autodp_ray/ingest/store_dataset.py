"""The rows of a dataset's files as a stored dataset of Arrow parts; what cannot be read is quarantined.

The input is read in splits, on Ray's workers where this process is connected to a Ray. The result does not depend on
how many there are. What a killed process has finished, the same call finds again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from actors.data.many_jobs import ManyJobs
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import MANIFEST, StoredDataset, write_manifest
from actors.storage.storage import Storage
from autodp_ray.ingest.id_exchange import FIRST_ROW, FIRST_SPLIT, ROW, SPLIT, number_copies, repeated_rows
from autodp_ray.ingest.read_plan import PLAN, ReadPlan, read_plan
from autodp_ray.ingest.stored_split import BadPlace, StoredSplit, StoreSplit
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.records.reader import record_batches, repeated_id, require_rows
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.splits.plan import Split
from autodp_ray.records.splits.split_pass import SplitDone, over_splits
from autodp_ray.records.splits.split_reader import SplitReader
from operators.contract.errors import InputError

MEMORY_PER_PART_BYTE = 4
"""What a worker holds for each byte of the part that it gathers, with the rows that it parses."""
_OWN_FILES = re.compile(r"(?:part|split|hashes|quarantine)-\d{6}.*|" + re.escape(PLAN))

ReadProgressFn = Callable[[int, int], None]
"""Called with (bytes read, bytes of the input) as splits are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInput:
    """A dataset's rows as parts on storage, and what was left out of them."""

    dataset: StoredDataset
    layout: Layout
    num_quarantined: int
    quarantine_reasons: Mapping[str, int]


def store_dataset(
    config: DatasetConfig,
    *,
    out: Storage,
    quarantine: Quarantine,
    pool: PoolConfig,
    layout: Layout | None = None,
    on_progress: ReadProgressFn | None = None,
    for_models: bool = False,
    split_bytes: int | None = None,
) -> StoredInput:
    """Read a whole dataset into `out`, a folder of this call's own; rows that cannot be read go to `quarantine`.

    `for_models`: parts are of few rows (`pool.part_rows`), as work with models wants them; without it those of a large
    dataset are larger. `layout` is what `scan_layout` found; without it the input is scanned first.

    Raises: InputError as the reader does; RunError where a worker or the storage fails.
    """
    plan = read_plan(config, out, layout=layout, pool=pool, for_models=for_models, split_bytes=split_bytes)
    if plan.is_new:
        _clear(out)
        plan.write(out)
    splits = _stored_splits(plan, out, quarantine, pool, on_progress)
    first_bad = next((split.first_bad for _, split in splits if split.first_bad is not None), None)
    require_rows(sum(split.num_rows for _, split in splits), _bad_row(first_bad), plan.config, plan.layout)
    return StoredInput(
        dataset=_closed(plan, out, splits, pool),
        layout=plan.layout,
        num_quarantined=quarantine.num_rows,
        quarantine_reasons=quarantine.counts,
    )


_Stored = tuple[Split, StoredSplit]


def _clear(out: Storage) -> None:
    """Delete what an earlier reading of another input left."""
    out.delete(MANIFEST)
    for name in out.names():
        if _OWN_FILES.fullmatch(name):
            out.delete(name)


def _stored_splits(
    plan: ReadPlan, out: Storage, quarantine: Quarantine, pool: PoolConfig, on_progress: ReadProgressFn | None
) -> list[_Stored]:
    """All splits in the input's order, their bad rows in the quarantine."""
    job = StoreSplit(key=plan.key, layout=plan.layout, out=out, size=plan.size)
    memory = MEMORY_PER_PART_BYTE * pool.part_bytes
    sizes = accumulate(split.num_bytes for split in plan.splits)
    total = sum(split.num_bytes for split in plan.splits)
    found: list[_Stored] = []
    passed: Iterator[SplitDone[StoredSplit]] = over_splits(
        plan.splits, job, ManyJobs(name="reading the dataset", pool=pool), memory_bytes=memory
    )
    for done, num_bytes in zip(passed, sizes, strict=True):
        stored, ahead = done.value, done.lines_ahead
        if stored.quarantined:
            quarantine.take_over(out, stored.quarantine_name, stored.quarantined, lines_ahead=ahead)
        if stored.first_bad is not None and ahead:
            moved = stored.first_bad.model_copy(update={"line": stored.first_bad.line + ahead})
            stored = stored.model_copy(update={"first_bad": moved})
        found.append((done.split, stored))
        if on_progress is not None:
            on_progress(num_bytes, total)
    return found


def _bad_row(place: BadPlace | None) -> BadRow | None:
    return None if place is None else BadRow(source=place.source, line=place.line, reason=place.reason, raw="")


def _closed(plan: ReadPlan, out: Storage, splits: Sequence[_Stored], pool: PoolConfig) -> StoredDataset:
    """The dataset of all splits, with ids that no two rows share."""
    records = [split for _, split in splits]
    known = StoredDataset.open(out)
    if known is not None and known.manifest.parts == tuple(part for split in records for part in split.parts):
        return known
    repeated = repeated_rows(out, records, pool=pool)
    if plan.layout.id_key is not None:
        _refuse_repeated_ids(repeated, [split for split, _ in splits], plan)
    elif len(repeated):
        records = number_copies(out, records, repeated, pool=pool)
    return write_manifest(out, [part for split in records for part in split.parts], {})


def _refuse_repeated_ids(repeated: np.ndarray, splits: Sequence[Split], plan: ReadPlan) -> None:
    if not len(repeated):
        return
    row = repeated[0]
    by_index = {split.index: split for split in splits}
    first, row_id = _place_of(by_index[int(row[FIRST_SPLIT])], int(row[FIRST_ROW]), plan.layout)
    second, _ = _place_of(by_index[int(row[SPLIT])], int(row[ROW]), plan.layout)
    raise repeated_id(row_id, first, second)


def _place_of(split: Split, row: int, layout: Layout) -> tuple[tuple[str, int], str]:
    """Source, line and id of a row of a split, which is read anew for it."""
    for table, kept in record_batches(SplitReader(split).batches(), layout, on_quarantine=lambda bad: None):
        if row < table.num_rows:
            return (kept.source, kept.lines[row]), str(table["id"][row].as_py())
        row -= table.num_rows
    raise InputError(f"the input changed while it was read: {split.ranges[0].file.label} has fewer rows now")
