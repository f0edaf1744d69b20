"""The cleaning team from files to files, as users run it."""

from __future__ import annotations

from collections.abc import Callable

from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.storage.storage import Storage
from autodp_ray.ingest.store_dataset import store_dataset
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.quarantine import Quarantine
from operators.contract.resources import Resources
from operators.registry import CLEANING_RECIPE

PhaseFn = Callable[[str], None]
"""Called with the name of each phase as it begins."""


def clean_files(
    source: str, target: Storage, *, work: Storage, pool: PoolConfig, resources: Resources, on_phase: PhaseFn
) -> int:
    """Reads the files of `source`, cleans the rows and writes the rest into `target`; how many rows that are."""
    on_phase("reading")
    with Quarantine(work.folder("quarantine")) as quarantine:
        stored = store_dataset(DatasetConfig(path=source), out=work.folder("input"), quarantine=quarantine, pool=pool)
    on_phase("processing")
    done = run_recipe(stored.dataset, CLEANING_RECIPE, resources=resources, out=work.folder("processed"), pool=pool)
    on_phase("writing")
    write_records(done.batches(), target.location, layout=stored.layout)
    return done.num_rows
