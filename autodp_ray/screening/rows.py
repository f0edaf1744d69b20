"""The rows that a screener is trained on: collected, apart from the run's, labelled, and cut into three parts.

Labels come from seeded damage of clean rows, or from an LLM (`screener_annotation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.config.run_config import Config
from autodp_ray.config.screener_config import ScreenerTraining
from autodp_ray.damage.corruption import CorruptionConfig, corrupt
from autodp_ray.preparation.overlap import copies_of
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.records.row_groups import ordered_groups, row_groups
from operators.contract.errors import InputError
from operators.likeness.row_sketches import RowSketches, merge_rows, sketch_rows
from operators.rows.record import RECORD_COLUMNS, has_texts, hash_order, row_hashes, take_rows

PARTS = ("train", "calibration", "test")
CLEAN = ""
"""The kind of defect of a clean row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Complete rows, no two of them copies of each other or of a row of the run."""

    table: pa.Table
    num_read: int
    num_copies: int
    """Rows left out as copies of the run's rows."""


def collect_rows(config: Config) -> Collected:
    """Rows to train on. Raises: InputError where too few are left."""
    training, threshold = config.screener.train, config.splits.near_duplicate_threshold
    source = training.dataset or config.dataset.model_copy(update={"limit": None})
    found = _read(source)
    is_copy = copies_of(sketch_rows(found), _run_rows(config), threshold=threshold)
    free = found.filter(pc.and_(pa.array(~is_copy), has_texts(found)))
    kept = take_rows(free, _one_of_each_group(free, seed=training.seed, threshold=threshold))
    if kept.num_rows < training.min_rows:
        raise InputError(
            f"{kept.num_rows} of {found.num_rows} rows are left to train a screener on ({int(is_copy.sum())} are "
            f"copies of the run's rows, the others lack a field or copy one another), {training.min_rows} are needed: "
            "name other rows with screener.train.dataset, or lower screener.train.min_rows"
        )
    return Collected(table=kept, num_read=found.num_rows, num_copies=int(is_copy.sum()))


def _one_of_each_group(table: pa.Table, *, seed: int, threshold: float) -> np.ndarray:
    """A hundred copies of a question are one example."""
    ids = table["id"].to_pylist()
    hashes = row_hashes(ids, seed=seed, salt="screener/rows")
    groups = ordered_groups(ids, row_groups(table, threshold=threshold), seed=seed, salt="screener/groups")
    chosen = (int(min(group, key=lambda row: (hashes[row], ids[row]))) for group in groups.first(table.num_rows))
    return np.array(sorted(chosen), dtype=np.int64)


def _run_rows(config: Config) -> RowSketches:
    """Every row that a run of this config reads, those of its splits' own files among them."""
    paths = (config.splits.guide_path, config.splits.validation_path, config.splits.test_path)
    files = [config.dataset.model_copy(update={"path": path, "limit": None}) for path in paths if path is not None]
    return merge_rows([sketch_rows(_read(source)) for source in (config.dataset, *files)])


def _read(source: DatasetConfig) -> pa.Table:
    """The records of a dataset without extra columns, which a screener does not see."""
    batches = read_records(source, on_quarantine=ReasonCounts())
    return pa.concat_tables([batch.select(RECORD_COLUMNS) for batch in batches])


def damaged_rows(table: pa.Table, config: CorruptionConfig, parts: np.ndarray) -> pa.Table:
    """The rows with `kind` and `part`, each part damaged by itself: no answer moves from one part to another."""
    made = []
    for name in PARTS:
        damaged = corrupt(table.filter(pa.array(parts == name)), config)
        kinds = dict(zip(damaged.truth["id"].to_pylist(), damaged.truth["kind"].to_pylist(), strict=True))
        rows = damaged.table
        made.append(with_labels(rows, [kinds.get(one, CLEAN) for one in rows["id"].to_pylist()], [name] * len(rows)))
    return pa.concat_tables(made)


def with_labels(table: pa.Table, kinds: list[str], parts: list[str]) -> pa.Table:
    """The rows with the columns `kind`, `needs_work` and `part`."""
    table = table.append_column("kind", pa.array(kinds, pa.string()))
    table = table.append_column("needs_work", pa.array([kind != CLEAN for kind in kinds], pa.bool_()))
    return table.append_column("part", pa.array(parts, pa.string()))


def assign_parts(ids: Sequence[str], training: ScreenerTraining) -> np.ndarray:
    """The part of each row [N], by hash of its id."""
    order = hash_order(ids, seed=training.seed, salt="screener/parts")
    num_held = round(training.held_out_frac * len(ids))
    parts = np.full(len(ids), "train", dtype=object)
    parts[order[: num_held // 2]], parts[order[num_held // 2 : num_held]] = "test", "calibration"
    return parts
