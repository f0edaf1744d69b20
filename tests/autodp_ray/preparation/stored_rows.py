"""Tables as the parts that preparation works on, in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.data.many_jobs import ManyJobs
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.config.splits_config import HeldOut, SplitsConfig
from autodp_ray.preparation.overlap import require_apart
from autodp_ray.preparation.preparation import parts_of
from autodp_ray.preparation.row_index import RowIndex, index_rows
from autodp_ray.preparation.splits import HELD_OUT, Splits, assign_splits
from autodp_ray.sampling.search_sample import TrainRows
from operators.contract.resources import Screener
from operators.rows.record import take_rows

HERE = ManyJobs(name="test", stays_here=True)


def stored(table: pa.Table, folder: str | Path, *, part_rows: int = 1000) -> StoredDataset:
    return StoredDataset.write(Storage.at(folder), parts_of(table, part_rows))


def indexed(
    tables: Sequence[pa.Table], *, screener: Screener | None = None, threshold: float = 0.8, part_rows: int = 1000
) -> RowIndex:
    with tempfile.TemporaryDirectory() as folder:
        sources = [stored(table, f"{folder}/{at}", part_rows=part_rows) for at, table in enumerate(tables)]
        work = Storage.at(f"{folder}/work")
        return index_rows(sources, threshold=threshold, content="auto", screener=screener, work=work, tasks=HERE)


def assigned(
    table: pa.Table,
    config: SplitsConfig,
    *,
    files: Mapping[HeldOut, pa.Table] | None = None,
    screener: Screener | None = None,
    part_rows: int = 1000,
) -> Splits:
    """The splits of a table and of the splits' own files."""
    given = [name for name in HELD_OUT if name in (files or {})]
    tables = [table, *((files or {})[name] for name in given)]
    threshold = config.near_duplicate_threshold
    index = indexed(tables, screener=screener, threshold=threshold, part_rows=part_rows)
    return assign_splits(index, config, given=given)


def split_tables(
    splits: Splits, table: pa.Table, files: Mapping[HeldOut, pa.Table] | None = None
) -> dict[str, pa.Table]:
    """The rows of each split by its name."""
    found = {"train": take_rows(table, splits.train)}
    for name in HELD_OUT:
        found[name] = take_rows((files or {}).get(name, table), splits.held_out(name))
    return found


def apart_from(screener: str, table: pa.Table, *, threshold: float = 0.8) -> None:
    """`require_apart` for the rows of a table."""
    with tempfile.TemporaryDirectory() as folder:
        require_apart(screener, [stored(table, folder)], threshold=threshold, tasks=HERE)


def train_rows(table: pa.Table) -> TrainRows:
    """Rows of which none is another's copy."""
    return TrainRows(ids=table["id"].combine_chunks(), groups=np.arange(table.num_rows), take=partial(take_rows, table))
