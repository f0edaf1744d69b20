"""`autodp screen apply`: the verdict of a screener on every row of a dataset, by a pool of workers, streaming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from actors.data.part_jobs import Written
from actors.data.part_passes import map_parts
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import StoredDataset, write_part
from actors.data.usage_counts import added_to, books_of
from actors.screening.screener import RowScreener
from actors.storage.storage import Storage
from autodp_ray.clock import RunClock
from autodp_ray.cluster.opened_screener import in_process_screener, opened_screener
from autodp_ray.cluster.ray import Cluster, require_lasting, require_shared, storage_locations
from autodp_ray.cluster.starting import said_while_nodes_come, said_while_starting
from autodp_ray.config.run_config import Config
from autodp_ray.config.screener_config import ScreenerConfig
from autodp_ray.progress import Progress
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.screening.output_folder import held_output, require_empty_output
from operators.contract.errors import InputError
from operators.contract.operator import Needs

VERDICTS, COUNTS = "verdicts.parquet", "counts.json"
_UNFINISHED = ".autodp-unfinished"
"""Says that what lies beside it is of a pass that broke off, and is written over."""
VERDICT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("needs_work", pa.bool_(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
    ]
)


class Screened(BaseModel):
    """How many rows need work, and what it took to know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    screener_revision: str
    rows: int
    clean: int
    needs_work: int
    quarantined: int
    counts: Mapping[str, int]
    """`screened:` requested, executed (the others were remembered or lack a field) and unreadable (counted as 1)."""
    seconds: float

    def text(self) -> str:
        """For people."""
        return (
            f"{self.needs_work} of {self.rows} rows need work, {self.clean} are clean, {self.quarantined} quarantined\n"
            f"wrote {self.output}/{VERDICTS}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePart:
    """The verdicts on one part, written as a part of its own."""

    screener: RowScreener
    out: Storage

    def __call__(self, index: int, table: pa.Table) -> Written:
        counts: Counter[str] = Counter()
        with added_to(counts, lambda: books_of(self.screener)):
            probabilities = self.screener.probabilities(table)
        needs_work = probabilities >= self.screener.judge.threshold
        verdicts = pa.table([table["id"], needs_work, probabilities], schema=VERDICT_SCHEMA)
        counts["needs_work"] = int(needs_work.sum())
        return Written(part=write_part(self.out, index, verdicts), counts=+counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What is going to be screened; everything that can be wrong with it without reading rows is checked."""

    dataset: DatasetConfig
    screener: ScreenerConfig
    cache: Storage
    pool: PoolConfig
    target: Storage
    clock: RunClock


def prepare_screening(config: Config, *, screener: str | None, source: str | None, output: str) -> Screening:
    """Check what is asked for: the config's dataset, or another one that is read the same way. Needs no Ray.

    Raises: InputError for a screener, dataset or output that cannot be.
    """
    clock = RunClock()
    require_lasting(output, what="--output")
    target = Storage.at(output)
    if not target.exists(_UNFINISHED):
        require_empty_output(target)
    section = config.screener if screener is None else config.screener.model_copy(update={"folder": screener})
    if section.folder is None:
        raise InputError("which screener? Give --screener FOLDER, or set screener.folder")
    _, cache = storage_locations(config.storage)
    in_process_screener(section, cache)
    dataset = config.dataset if source is None else config.dataset.model_copy(update={"path": source, "limit": None})
    find_files(resolved(dataset))
    return Screening(dataset=dataset, screener=section, cache=cache, pool=config.pool, target=target, clock=clock)


def screen_dataset(screening: Screening, *, cluster: Cluster, progress: Progress) -> Screened:
    """Write the verdicts on a dataset.

    Raises: InputError for a dataset that cannot be read, EndpointError where no verdict could be had.
    """
    require_shared(screening.target, cluster)
    with held_output(screening.target):
        return _screened(screening, progress)


def _screened(screening: Screening, progress: Progress) -> Screened:
    target = screening.target
    target.write_text(_UNFINISHED, "verdicts are being written here by autodp screen apply\n")
    dataset, num_quarantined = _stored(screening, target.folder("rows"))
    with ExitStack() as stack:
        with said_while_starting(progress):
            judge = stack.enter_context(opened_screener(screening.screener, screening.cache))
        assert judge is not None
        progress.phase("screening")
        with said_while_nodes_come(progress):
            counts = _verdicts(dataset, judge, target, pool=screening.pool, progress=progress)
        revision = judge.revision
    dataset.folder.delete()
    num_flagged = counts.pop("needs_work", 0)
    done = Screened(
        output=target.shown,
        screener_revision=revision,
        rows=dataset.num_rows,
        clean=dataset.num_rows - num_flagged,
        needs_work=num_flagged,
        quarantined=num_quarantined,
        counts=counts,
        seconds=round(screening.clock.total, 1),
    )
    target.write_text(COUNTS, done.model_dump_json(indent=2))
    target.delete(_UNFINISHED)
    return done


def _stored(screening: Screening, folder: Storage) -> tuple[StoredDataset, int]:
    """The dataset's rows as parts on disk, one batch in memory at a time, and how many could not be read."""
    quarantine = ReasonCounts()
    batches = read_records(screening.dataset, on_quarantine=quarantine)
    return StoredDataset.write(folder, _joined(batches, screening.pool.part_rows)), quarantine.num_rows


def _joined(batches: Iterator[pa.Table], num_rows: int) -> Iterator[pa.Table]:
    """The batches joined until they have `num_rows` rows: every part costs its worker the loading of a model."""
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= num_rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _verdicts(
    dataset: StoredDataset, screener: RowScreener, target: Storage, *, pool: PoolConfig, progress: Progress
) -> Counter[str]:
    """Writes the verdicts as one Parquet file in the rows' order; the counts of all parts."""
    out, counts, done = target.folder("parts"), Counter[str](), 0
    job = JudgePart(screener=screener, out=out)
    for _, num_rows, written in map_parts(dataset, job, needs=[Needs(own_model=True)], pool=pool, name="screening"):
        counts.update(written.counts)
        done += num_rows
        progress.rows(done, dataset.num_rows)
    with (
        target.filesystem.open_output_stream(target.path(VERDICTS)) as sink,
        pq.ParquetWriter(sink, VERDICT_SCHEMA) as file,
    ):
        for name in out.names():
            file.write_table(out.read_table(name))
    out.delete()
    return counts
