"""The rows of a final fine-tuning: what `autodp apply` wrote into the run's folder, checked to be just that.

Read from RUN_DIR/processed, not from the cache: what is trained on is what is shipped, and a pruned cache or a model
that is no longer served is no obstacle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.preparation.preparation import Prepared
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.reader import read_records
from autodp_ray.result import RunResult
from autodp_ray.run_contents import PROCESSED
from autodp_ray.runs.open_run import OpenRun
from operators.contract.errors import InputError

AS_WRITTEN = {
    "encoding": "auto",
    "split": None,
    "name": None,
    "corruption": "none",
    "limit": None,
}
"""What said how the input was encoded, and which of its files to read, does not hold for the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRows:
    """The processed train split as records; ids that the dataset does not give are made from the rows' content."""

    dataset: StoredDataset
    num_unreadable: int
    """Rows that hold neither a question nor an answer after processing."""


def require_applied(run: OpenRun, result: RunResult, prepared: Prepared) -> None:
    """Raises: InputError where the recommended strategy was not applied to the train split, and to it alone."""
    location, rows = run.folder.storage.location, result.rows
    if rows.out is None or not run.folder.storage.names(PROCESSED):
        raise InputError(f"{location} has no processed data yet; run autodp apply {location} first")
    num_in = rows.out - (rows.generated or 0) + sum(rows.dropped.values())
    if num_in != prepared.train.num_rows:
        raise InputError(
            f"{run.folder.storage.uri(PROCESSED)} was made of {num_in} rows, but the train split has "
            f"{prepared.train.num_rows}: it holds held-out rows, and no score could be had on them; "
            f"run autodp apply {location} again, without --all"
        )


def tuning_rows(run: OpenRun, result: RunResult, prepared: Prepared, *, into: Storage) -> TuningRows:
    """Read the processed rows into the folder `into`, streaming.

    Raises: InputError where there is no row, or not as many as the recommended strategy left.
    """
    source = run.folder.storage.uri(PROCESSED)
    layout = prepared.layout
    settings = run.config.dataset.model_copy(update={**AS_WRITTEN, "path": source, "format": layout.format})
    unreadable: list[None] = []

    def set_aside(row: BadRow) -> None:
        unreadable.append(None)

    dataset = StoredDataset.write(into, _filled(read_records(settings, on_quarantine=set_aside, layout=layout)))
    num_read = dataset.num_rows + len(unreadable)
    if num_read != result.rows.out:
        location = run.folder.storage.location
        raise InputError(
            f"{source} holds {num_read} rows, but {result.best_strategy} left {result.rows.out}: it is not what the "
            f"recommended strategy made; run autodp apply {location} again"
        )
    return TuningRows(dataset=dataset, num_unreadable=len(unreadable))


def _filled(batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
    return (batch for batch in batches if batch.num_rows)
