"""The rows of a dataset's files as a stored dataset of Arrow parts; what cannot be read is quarantined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout

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
) -> StoredInput:
    """Read a whole dataset into the folder `out`; rows that cannot be read go to `quarantine`.

    Raises: InputError as the reader does.
    """
    layout = layout or scan_layout(config)
    batches = read_records(config, on_quarantine=quarantine, layout=layout)
    dataset = StoredDataset.write(out, _parts(batches, pool.part_rows))
    return StoredInput(
        dataset=dataset,
        layout=layout,
        num_quarantined=quarantine.num_rows,
        quarantine_reasons=quarantine.counts,
    )


def _parts(batches: Iterator[pa.Table], part_rows: int) -> Iterator[pa.Table]:
    for batch in batches:
        for start in range(0, batch.num_rows, part_rows):
            yield batch.slice(start, part_rows)
