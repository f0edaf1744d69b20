"""From the input dataset to what a search works on: records, four splits, corruption where configured, the sample.

Writes into the run's folder and leaves one journal event, so that a resumed run finds everything as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from pydantic import ValidationError

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config
from autodp_ray.config.splits_config import HeldOut
from autodp_ray.damage.corruption import CorruptionConfig, corrupt
from autodp_ray.journal import Journal
from autodp_ray.preparation.overlap import require_apart
from autodp_ray.preparation.splits import HELD_OUT, Splits, assign_splits
from autodp_ray.progress import Progress
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.run_contents import QUARANTINE, SPLITS, clear
from autodp_ray.sampling.search_sample import RowModels, SearchSample, draw_search_sample
from operators.contract.errors import RunError
from operators.contract.resources import Language
from operators.texts.text import unspaced_fracs

PREPARED = "prepared"
LAYOUT = "layout.json"
_LANGUAGE_ROWS = 512
"""Rows that decide the language of a dataset whose config says `auto`."""


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


def prepare(config: Config, *, run: Storage, journal: Journal, progress: Progress, models: RowModels) -> Prepared:
    """Read, split, corrupt and sample, or find it done.

    Raises: InputError for data that cannot be read or is too small for its splits; EndpointError where the screener
    gives no verdicts; RunError where what was prepared before is gone or damaged.
    """
    journal.once(PREPARED, "", lambda: _prepare(config, run, progress, models))
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
    )


def _layout(splits: Storage) -> Layout:
    """Raises: RunError where it is gone or not what was written."""
    try:
        return Layout.model_validate_json(splits.read_bytes(LAYOUT))
    except FileNotFoundError:
        raise RunError(f"{splits.uri(LAYOUT)} is gone although the journal has it; start over with --fresh") from None
    except ValidationError:
        raise RunError(f"{splits.uri(LAYOUT)} is damaged; start over with --fresh") from None


def _read(config: DatasetConfig, layout: Layout, quarantine: Quarantine) -> pa.Table:
    return pa.concat_tables(list(read_records(config, on_quarantine=quarantine, layout=layout)))


def _prepare(config: Config, run: Storage, progress: Progress, models: RowModels) -> dict[str, object]:
    progress.phase("reading the dataset")
    for name in (SPLITS, QUARANTINE):
        clear(run, name)
    layout = scan_layout(config.dataset)
    with Quarantine(run.folder(QUARANTINE)) as quarantine:
        table = _read(config.dataset, layout, quarantine)
    files, reasons = _split_files(config, run)
    reasons.update(quarantine.counts)
    quarantined = reasons.total()
    progress.phase("grouping near-duplicates")
    splits = assign_splits(
        table, config.splits, files=files, screener=models.screener, content=config.dataset.content_columns
    )
    tables = splits.tables(table, files)
    if config.screener.folder is not None:
        for rows in (table, *files.values()):
            require_apart(config.screener.folder, rows, threshold=config.splits.near_duplicate_threshold)
    num_read = table.num_rows + sum(rows.num_rows for rows in files.values())
    whole = tables["train"]
    tables["train"] = _corrupted(whole, config, run.folder(SPLITS))
    num_added = tables["train"].num_rows - len(splits.train)
    progress.phase("sampling")
    sample = draw_search_sample(
        tables["train"], config, models, groups=splits.train_groups if tables["train"] is whole else None
    )
    tables["sample"] = sample.table
    for name, rows in tables.items():
        StoredDataset.write(run.folder(f"{SPLITS}/{name}"), parts_of(rows, config.pool.part_rows))
    run.folder(SPLITS).write_text(LAYOUT, layout.model_dump_json())
    aside = _set_aside(table, files, splits)
    _write_ids(run, tables, aside)
    progress.note(
        f"{num_read} rows read, {quarantined} quarantined; "
        + ", ".join(f"{name} {rows.num_rows}" for name, rows in tables.items())
    )
    return {
        "language": language_of(config.dataset, table),
        "num_in": num_read + quarantined + num_added,
        "num_quarantined": quarantined,
        "quarantine_reasons": dict(sorted(reasons.items())),
        "num_set_aside": len(aside),
        "num_added": num_added,
        "num_noisy": sample.num_noisy,
        "embeddings": _embedding_counts(sample),
        "rows": {name: rows.num_rows for name, rows in tables.items()},
    }


def parts_of(table: pa.Table, part_rows: int) -> Iterator[pa.Table]:
    """The table cut into parts; an empty one is one empty part, which keeps the schema."""
    if table.num_rows == 0:
        yield table
    for start in range(0, table.num_rows, part_rows):
        yield table.slice(start, part_rows)


def _split_files(config: Config, run: Storage) -> tuple[dict[HeldOut, pa.Table], Counter[str]]:
    """The rows of the held-out splits that have a file of their own, and those quarantined of these, by reason."""
    paths: dict[HeldOut, str | None] = {
        "guide": config.splits.guide_path,
        "validation": config.splits.validation_path,
        "test": config.splits.test_path,
    }
    files: dict[HeldOut, pa.Table] = {}
    reasons: Counter[str] = Counter()
    for name in HELD_OUT:
        path = paths[name]
        if path is not None:
            with Quarantine(run.folder(f"{QUARANTINE}/{name}")) as quarantine:
                settings = config.dataset.model_copy(update={"path": path, "name": None, "limit": None})
                files[name] = _read(settings, scan_layout(settings), quarantine)
            reasons.update(quarantine.counts)
    return files, reasons


def _corrupted(train: pa.Table, config: Config, splits: Storage) -> pa.Table:
    """The train rows, damaged where the config says so; the truth goes to a side file that nothing reads."""
    if not isinstance(config.dataset.corruption, CorruptionConfig):
        return train
    damaged = corrupt(train, config.dataset.corruption)
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(damaged.truth, sink)
    splits.write_bytes("corruption.csv", sink.getvalue().to_pybytes())
    return damaged.table


def _embedding_counts(sample: SearchSample) -> dict[str, int]:
    made = sample.embedded
    return {} if made is None else {"requested": made.requested, "executed": made.executed}


def _set_aside(table: pa.Table, files: Mapping[HeldOut, pa.Table], splits: Splits) -> pa.ChunkedArray:
    """Ids of the rows that are in no split."""
    ids = [table["id"].take(splits.set_aside)]
    for name, rows in files.items():
        ids.append(rows["id"].take(np.setdiff1d(np.arange(rows.num_rows), splits.held_out(name))))
    return pa.chunked_array([chunk for each in ids for chunk in each.chunks], type=pa.string())


def _write_ids(run: Storage, tables: Mapping[str, pa.Table], aside: pa.ChunkedArray) -> None:
    """One table (split, id) of every row of the input; sampled rows are listed as `sample` beside `train`."""
    ids: list[pa.Table] = [
        pa.table({"split": pa.array([name] * rows.num_rows, pa.string()), "id": rows["id"]})
        for name, rows in tables.items()
    ]
    ids.append(pa.table({"split": pa.array(["set_aside"] * len(aside), pa.string()), "id": aside}))
    run.write_table(f"{SPLITS}/ids.arrow", pa.concat_tables(ids).combine_chunks())


def language_of_rows(dataset: DatasetConfig, rows: StoredDataset) -> Language:
    """The same of stored rows, of which no more are read than tell it."""
    if dataset.language != "auto":
        return dataset.language
    first: list[pa.Table] = []
    for batch in rows.batches(["answer"]):
        first.append(batch)
        if sum(each.num_rows for each in first) >= _LANGUAGE_ROWS:
            break
    return language_of(dataset, pa.concat_tables(first)) if first else "en"


def language_of(dataset: DatasetConfig, table: pa.Table) -> Language:
    """The language that the config names, else the one that most answers are written in."""
    if dataset.language != "auto":
        return dataset.language
    answers = pc.drop_null(table["answer"].slice(0, _LANGUAGE_ROWS)).combine_chunks()
    return "zh" if len(answers) and unspaced_fracs(answers).mean() >= 0.3 else "en"


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
