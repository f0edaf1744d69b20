"""From the input dataset to what a search works on: records, four splits, corruption where configured, the sample.

Writes into the run's folder and leaves one journal event, so that a resumed run finds everything as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.csv
from pydantic import ValidationError

from actors.data.many_jobs import ManyJobs
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import require_shared
from autodp_ray.config.run_config import Config
from autodp_ray.config.splits_config import HeldOut
from autodp_ray.damage.corruption import CorruptionConfig, corrupt
from autodp_ray.journal import Journal
from autodp_ray.preparation.input_rows import is_large, language_of, read_input
from autodp_ray.preparation.overlap import require_apart
from autodp_ray.preparation.row_index import RowIndex, index_rows
from autodp_ray.preparation.split_parts import divide, take_stored
from autodp_ray.preparation.splits import Splits, assign_splits
from autodp_ray.progress import Progress
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.run_contents import QUARANTINE, SPLITS, WORK, clear
from autodp_ray.sampling.search_sample import RowModels, SearchSample, TrainRows, draw_search_sample
from operators.contract.errors import RunError
from operators.contract.resources import Language, Screener

PREPARED = "prepared"
LAYOUT = "layout.json"
INDEX = f"{WORK}/index"
"""Of the run's folder, for the meantime: what is compared of rows."""
_LISTED_ROWS = 1 << 20
IN_PROCESS_ROWS = 20_000
"""Rows that are worked on in this process, for which workers would hardly have started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The datasets of a run, all on disk, and how many rows went where."""

    train: StoredDataset
    sample: StoredDataset
    guide: StoredDataset
    validation: StoredDataset
    test: StoredDataset
    layout: Layout
    """How the input spells its rows; outputs are spelled the same."""
    language: Language
    num_in: int
    """Rows of all input files, quarantined ones and copies that the corruption added among them: the sum of train,
    guide, validation, test, `num_quarantined` and `num_set_aside`."""
    num_quarantined: int
    quarantine_reasons: Mapping[str, int]
    """Of the quarantined rows, by reason."""
    num_set_aside: int
    """Rows in no split: copies of held-out rows, and rows of a held-out split's own file that it does not take."""
    num_noisy: int | None
    """Rows of the sample that need work, as the screener says; None without one."""
    content_hash: str | None = None
    """Of the dataset's rows as they were read, in whatever order; None where an earlier version prepared them."""


def prepare(config: Config, *, run: Storage, journal: Journal, progress: Progress, models: RowModels) -> Prepared:
    """Read, split, corrupt and sample, or find it done.

    Raises: InputError for data that cannot be read or is too small for its splits; EndpointError where the screener
    gives no verdicts; RunError where what was prepared before is gone or damaged.
    """
    preparation = _Preparation(config=config, run=run, progress=progress, models=models)
    journal.once(PREPARED, "", preparation.carry_out)
    prepared = find_prepared(run, journal)
    for split in (prepared.sample, prepared.guide, prepared.validation, prepared.test):
        _require_whole(split)  # whoever reads the train split checks it part by part
    return prepared


def find_prepared(run: Storage, journal: Journal) -> Prepared:
    """What a run prepared.

    Raises: RunError where that is not there any more.
    """
    event = journal.find(PREPARED)
    if event is None:
        raise RunError(f"{run.location} has prepared no data yet")
    splits = run.folder(SPLITS)
    language = event["language"]
    assert language in ("en", "zh")
    return Prepared(
        train=_open(splits, "train"),
        sample=_open(splits, "sample"),
        guide=_open(splits, "guide"),
        validation=_open(splits, "validation"),
        test=_open(splits, "test"),
        layout=_layout(splits),
        language=language,
        num_in=_int(event["num_in"]),
        num_quarantined=_int(event["num_quarantined"]),
        quarantine_reasons=_counts(event.get("quarantine_reasons")),
        num_set_aside=_int(event["num_set_aside"]),
        num_noisy=None if event.get("num_noisy") is None else _int(event["num_noisy"]),
        content_hash=None if event.get("content_hash") is None else str(event["content_hash"]),
    )


def _layout(splits: Storage) -> Layout:
    """Raises: RunError where it is gone or not what was written."""
    try:
        return Layout.model_validate_json(splits.read_bytes(LAYOUT))
    except FileNotFoundError:
        raise RunError(f"{splits.uri(LAYOUT)} is gone although the journal has it; start over with --fresh") from None
    except ValidationError:
        raise RunError(f"{splits.uri(LAYOUT)} is damaged; start over with --fresh") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preparation:
    """Rows travel part by part; here are numbers about all of them, and the rows of samples and held-out splits."""

    config: Config
    run: Storage
    progress: Progress
    models: RowModels

    def carry_out(self) -> dict[str, object]:
        self.progress.phase("reading the dataset")
        for name in (SPLITS, QUARANTINE):
            clear(self.run, name)
        if is_large(self.config.dataset):
            self._connect()
        read = read_input(self.config, self.run, on_progress=partial(self.progress.rows, unit="bytes"))
        language = language_of(self.config.dataset, read.rows.batches())
        sources, given = [read.rows, *read.files.values()], list(read.files)
        tasks = self._tasks(num_rows=sum(source.num_rows for source in sources))
        self.progress.phase("grouping near-duplicates")
        index = self._index(sources, tasks, screener=self.models.screener)
        splits = assign_splits(index, self.config.splits, given=given)
        self._require_apart(sources, tasks)
        whole, held_out = divide(sources, splits, given=given, train=self.run.folder(f"{SPLITS}/train"), tasks=tasks)
        train = self._corrupted(whole)
        self.progress.phase("sampling")
        num_indexed, aside = len(index), _set_aside(index, splits, given)
        rows = self._train_rows(train, index, splits, tasks, is_whole=train is whole)
        del index, splits
        sample = draw_search_sample(rows, self.config, self.models)
        num_rows = self._write(held_out, sample.table, train_ids=rows.ids, aside=aside)
        self.run.folder(SPLITS).write_text(LAYOUT, read.layout.model_dump_json())
        clear(self.run, WORK)
        quarantined, num_added = read.reasons.total(), train.num_rows - whole.num_rows
        planted = f"{num_added} planted by dataset.corruption, " if num_added else ""
        self.progress.note(
            f"{num_indexed} rows read, {planted}{quarantined} quarantined; "
            + ", ".join(f"{name} {count}" for name, count in num_rows.items())
        )
        return {
            "language": language,
            "content_hash": read.rows.content_hash,
            "num_in": num_indexed + quarantined + num_added,
            "num_quarantined": quarantined,
            "quarantine_reasons": dict(sorted(read.reasons.items())),
            "num_set_aside": len(aside),
            "num_added": num_added,
            "num_noisy": sample.num_noisy,
            "embeddings": _embedding_counts(sample),
            "rows": num_rows,
        }

    def _tasks(self, *, num_rows: int) -> ManyJobs:
        """Few rows are worked on here, many by workers."""
        stays_here = num_rows <= IN_PROCESS_ROWS or not self._connect()
        return ManyJobs(name="preparation", pool=self.config.pool, stays_here=stays_here)

    def _connect(self) -> bool:
        """Have a Ray from now on; whether there may be one."""
        if self.models.connect is None:
            return False
        require_shared(self.run, self.models.connect())
        return True

    def _index(
        self, sources: Sequence[StoredDataset], tasks: ManyJobs, *, screener: Screener | None = None
    ) -> RowIndex:
        return index_rows(
            sources,
            threshold=self.config.splits.near_duplicate_threshold,
            content=self.config.dataset.content_columns,
            screener=screener,
            work=self.run.folder(INDEX),
            tasks=tasks,
        )

    def _require_apart(self, sources: Sequence[StoredDataset], tasks: ManyJobs) -> None:
        folder, threshold = self.config.screener.folder, self.config.splits.near_duplicate_threshold
        if folder is not None:
            require_apart(folder, sources, threshold=threshold, tasks=tasks)

    def _corrupted(self, train: StoredDataset) -> StoredDataset:
        """The train rows, damaged where the config says so; the truth goes to a side file that nothing reads.

        Damage is for trying things out: it holds all rows at once.
        """
        if not isinstance(self.config.dataset.corruption, CorruptionConfig):
            return train
        damaged = corrupt(train.read(), self.config.dataset.corruption)
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(damaged.truth, sink)
        self.run.folder(SPLITS).write_bytes("corruption.csv", sink.getvalue().to_pybytes())
        train.folder.delete()
        return StoredDataset.write(train.folder, parts_of(damaged.table, self.config.pool.part_rows))

    def _train_rows(
        self, train: StoredDataset, index: RowIndex, splits: Splits, tasks: ManyJobs, *, is_whole: bool
    ) -> TrainRows:
        """Groups are found anew where rows were damaged since, or a group lost one of its rows."""
        take = partial(take_stored, train, tasks=tasks)
        if is_whole and splits.train_groups is not None:
            return TrainRows(ids=index.ids.take(pa.array(splits.train)), groups=splits.train_groups, take=take)
        again = self._index([train], tasks)
        return TrainRows(ids=again.ids, groups=again.groups, take=take)

    def _write(
        self, held_out: Mapping[HeldOut, pa.Table], sample: pa.Table, *, train_ids: pa.Array, aside: pa.Array
    ) -> dict[str, int]:
        """The small splits, and one table (split, id) of every row of the input; how many rows each split has.

        Sampled rows are listed as `sample` beside `train`.
        """
        tables: dict[str, pa.Table] = {**{str(name): rows for name, rows in held_out.items()}, "sample": sample}
        for name, rows in tables.items():
            StoredDataset.write(self.run.folder(f"{SPLITS}/{name}"), parts_of(rows, self.config.pool.part_rows))
        ids = {"train": train_ids, **{name: rows["id"].combine_chunks() for name, rows in tables.items()}}
        listed = [table for name, own in {**ids, "set_aside": aside}.items() for table in _listed(name, own)]
        self.run.write_table(f"{SPLITS}/ids.arrow", pa.concat_tables(listed))
        return {name: len(own) for name, own in ids.items()}


def parts_of(table: pa.Table, part_rows: int) -> Iterator[pa.Table]:
    """The table cut into parts; an empty one is one empty part, which keeps the schema."""
    if table.num_rows == 0:
        yield table
    for start in range(0, table.num_rows, part_rows):
        yield table.slice(start, part_rows)


def _listed(split: str, ids: pa.Array) -> Iterator[pa.Table]:
    """Ids beside the name of their split, so many at a time that offsets of 32 bits do for them."""
    for start in range(0, max(1, len(ids)), _LISTED_ROWS):
        some = ids.slice(start, _LISTED_ROWS).cast(pa.string())
        yield pa.table({"split": pa.repeat(pa.scalar(split, pa.string()), len(some)), "id": some})


def _embedding_counts(sample: SearchSample) -> dict[str, int]:
    made = sample.embedded
    return {} if made is None else {"requested": made.requested, "executed": made.executed}


def _set_aside(index: RowIndex, splits: Splits, given: Sequence[HeldOut]) -> pa.Array:
    """Ids of the rows that are in no split."""
    rows = [splits.set_aside]
    for source, name in enumerate(given, start=1):
        own = index.rows_of(source)
        rows.append(np.delete(own, splits.held_out(name)))
    return index.ids.take(pa.array(np.concatenate(rows)))


def _open(splits: Storage, name: str) -> StoredDataset:
    dataset = StoredDataset.open(splits.folder(name))
    if dataset is None:
        raise RunError(f"{splits.uri(name)} is gone although the journal has it; start over with --fresh")
    return dataset


def _require_whole(dataset: StoredDataset) -> None:
    try:
        dataset.verify()
    except RunError as error:
        raise RunError(f"{error}; start over with --fresh") from error


def _counts(value: object) -> dict[str, int]:
    return {str(name): _int(count) for name, count in value.items()} if isinstance(value, Mapping) else {}


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
