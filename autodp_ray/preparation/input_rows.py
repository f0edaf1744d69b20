"""The rows of a run's input, as parts in its folder, and the language that they are written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config
from autodp_ray.config.splits_config import HeldOut
from autodp_ray.ingest.store_dataset import ReadProgressFn, store_dataset
from autodp_ray.preparation.splits import HELD_OUT
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.splits.plan import file_sizes
from autodp_ray.run_contents import QUARANTINE, WORK
from operators.contract.resources import Language
from operators.texts.text import unspaced_fracs

ROWS = f"{WORK}/rows"
READ_HERE_BYTES = 64 << 20
"""Of the dataset's files, up to which this process reads them."""
_LANGUAGE_ROWS = 512
"""Rows that decide the language of a dataset whose config says `auto`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInput:
    """The rows of the input, as parts."""

    rows: StoredDataset
    layout: Layout
    files: Mapping[HeldOut, StoredDataset]
    """Of the splits that have a file of their own."""
    reasons: Counter[str]
    """Of the quarantined rows of all files."""


def is_large(dataset: DatasetConfig) -> bool:
    """Whether workers read it faster than they start.

    Raises: InputError where no file is there.
    """
    return dataset.limit is None and sum(file_sizes(find_files(resolved(dataset)))) > READ_HERE_BYTES


def read_input(config: Config, run: Storage, *, on_progress: ReadProgressFn | None = None) -> ReadInput:
    """Read the dataset and the splits' own files into the run's folder; what cannot be read is quarantined there.

    What a killed process has read is not read again.

    Raises: InputError as the reader does.
    """
    with Quarantine(run.folder(QUARANTINE)) as quarantine:
        recipes = [config.teams.recipe(team) for team in config.search.used_teams]
        stored = store_dataset(
            config.dataset,
            out=run.folder(ROWS),
            quarantine=quarantine,
            pool=config.pool,
            on_progress=on_progress,
            for_models=any(operator.needs.models for recipe in recipes for operator in recipe),
        )
    reasons = Counter(quarantine.counts)
    paths: dict[HeldOut, str | None] = {
        "guide": config.splits.guide_path,
        "validation": config.splits.validation_path,
        "test": config.splits.test_path,
    }
    files: dict[HeldOut, StoredDataset] = {}
    for name in HELD_OUT:
        path = paths[name]
        if path is not None:
            with Quarantine(run.folder(f"{QUARANTINE}/{name}")) as quarantine:
                settings = config.dataset.model_copy(update={"path": path, "name": None, "limit": None})
                own = store_dataset(settings, out=run.folder(f"{ROWS}-{name}"), quarantine=quarantine, pool=config.pool)
                files[name] = own.dataset
            reasons.update(quarantine.counts)
    return ReadInput(rows=stored.dataset, layout=stored.layout, files=files, reasons=reasons)


def language_of(dataset: DatasetConfig, batches: Iterable[pa.Table]) -> Language:
    """The language that the config names, else the one that most of the first answers are written in."""
    if dataset.language != "auto":
        return dataset.language
    first: list[pa.ChunkedArray] = []
    for batch in batches:
        first.append(batch["answer"].slice(0, _LANGUAGE_ROWS - sum(map(len, first))))
        if sum(map(len, first)) == _LANGUAGE_ROWS:
            break
    answers = pc.drop_null(pa.chunked_array([chunk for one in first for chunk in one.chunks], pa.string()))
    return "zh" if len(answers) and unspaced_fracs(answers.combine_chunks()).mean() >= 0.3 else "en"
