"""A whole dataset through the cleaning team, from files to files, on the cluster that it runs on or a Ray of its own.

The rows are made in parallel on the cluster: about 860 bytes each, a fifth near-duplicates, a sixth with markup. Each
number of workers runs on the same files. Beside it stand the same operators on some of the rows in one process without
Ray, so that what Ray and the files cost is seen, and before it a run over a fifth of the rows, so that what grows with
the rows is told from what does not. Other work on the machine falsifies wall time, but hardly the processor time that
stands beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from actors.storage.storage import Storage
from autodp_ray.applying.process_config import BUNDLED
from autodp_ray.cluster.ray import connected
from benchmarks.in_process import apply_here
from benchmarks.labelled_copies import damaged_row
from benchmarks.machine import peak_bytes, set_back_peak
from benchmarks.made_files import make_files
from benchmarks.protocol import Figures
from benchmarks.repeated import rate, repeated, scaled, spread
from benchmarks.text_rows import record_table
from benchmarks.whole_pipeline import clean_files
from benchmarks.worker_watch import ClusterWatch, Usage, watched_cluster
from operators.contract.resources import Resources
from operators.registry import CLEANING_RECIPE

ROWS, SMOKE_ROWS = 200_000, 4_000
ALONE_ROWS = 10_000
FEWER_FRAC = 0.2
"""Of the rows, in the run that the others are compared with."""
OWN_WORKERS = (1, 2)
"""Numbers of workers that are compared on a Ray of our own; a cluster takes as many as it has room for."""
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over the files."""

    rows_out: int
    whole_s: float
    seconds: Mapping[str, float]
    """Wall time by phase; what lies before the first one is starting."""
    driver_cpu_s: float
    driver_peak_bytes: int
    workers: Usage


def run(
    rows: int | None = None, smoke: bool = False, *, storage: str | None = None, workers: tuple[int, ...] = ()
) -> Figures:
    """Rows and bytes per second, memory and bytes written, for each number of workers."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    with connected() as cluster, _place(storage) as place, watched_cluster() as watch:
        compared: list[int | None] = list(workers or (OWN_WORKERS if cluster.is_own else [None]))
        few_rows, fewer = max(1, int(rows * FEWER_FRAC)), place.folder("fewer")
        make_files(fewer.folder("input"), few_rows)
        few_runs = repeated(partial(_run, fewer, compared[-1], watch))  # first: workers keep some of what they held
        num_bytes = make_files(place.folder("input"), rows)
        runs = {number: repeated(partial(_run, place, number, watch)) for number in compared}
    by_workers = {
        str(number or "all"): _figures(found, rows, num_bytes, number or cluster.num_cpus)
        for number, found in runs.items()
    }
    alone_s = _alone_cpu_s_per_row(min(rows, ALONE_ROWS))
    return {
        "rows": rows,
        "input_bytes": num_bytes,
        "cluster_cpus": cluster.num_cpus,
        "operators_alone_mb_per_cpu_s": num_bytes / rows / alone_s / MEGABYTE,
        "by_workers": by_workers,
        "best": by_workers[str(compared[-1] or "all")],
        "speedup_of_two": _speedup(runs),
        "fewer_rows": few_rows,
        "growth": _growth(few_runs, runs[compared[-1]], further_rows=rows - few_rows),
    }


@contextmanager
def _place(storage: str | None) -> Iterator[Storage]:
    """A new folder in the storage, gone at the end; or a temporary one on this machine."""
    if storage is None:
        with tempfile.TemporaryDirectory(prefix="autodp-throughput-") as name:
            yield Storage.at(name)
        return
    place = Storage.at(storage).folder(f"throughput-{time.time_ns():x}")
    try:
        yield place
    finally:
        place.delete()


def _run(place: Storage, workers: int | None, watch: ClusterWatch) -> Run:
    set_back_peak()
    watch.start()
    cpu = time.process_time()
    phases = [("starting", time.perf_counter())]
    rows_out = clean_files(
        place.folder("input").location,
        place.folder("output").location,
        work=place.folder("work").location,
        max_workers=workers,
        on_phase=lambda name: phases.append((name, time.perf_counter())),
    )
    ends = [start for _, start in phases[1:]] + [time.perf_counter()]
    done = Run(
        rows_out=rows_out,
        whole_s=ends[-1] - phases[0][1],
        seconds={name: end - start for (name, start), end in zip(phases, ends, strict=True)},
        driver_cpu_s=time.process_time() - cpu,
        driver_peak_bytes=peak_bytes(),
        workers=watch.usage(),
    )
    for name in ("output", "work"):
        place.delete(name)
    return done


def _figures(runs: Sequence[Run], rows: int, num_bytes: int, cores: float) -> Mapping[str, Any]:
    """Of all runs with one number of workers; memory and bytes of the run that took most."""
    whole = spread([run.whole_s for run in runs])
    megabytes = num_bytes / MEGABYTE
    return {
        "rows_out": runs[0].rows_out,
        "rows_per_s": rate(rows, whole),
        "mb_per_s": rate(megabytes, whole),
        "mb_per_s_and_core": rate(megabytes / cores, whole),
        "mb_per_cpu_s": rate(megabytes, spread([run.driver_cpu_s + run.workers.cpu_s for run in runs])),
        "seconds": {phase: spread([run.seconds[phase] for run in runs]) for phase in runs[0].seconds},
        "driver_cpu_us_per_row": scaled(spread([run.driver_cpu_s for run in runs]), 1e6 / rows),
        "driver_peak_bytes": max(run.driver_peak_bytes for run in runs),
        "worker_peak_bytes": max(run.workers.peak_bytes for run in runs),
        "worker_processes": max(run.workers.processes for run in runs),
        "written_bytes_per_input_byte": max(run.workers.written_bytes for run in runs) / num_bytes,
    }


def _speedup(runs: Mapping[int | None, Sequence[Run]]) -> float | None:
    """How much faster two workers are than one; None where not both were measured."""
    if 1 not in runs or 2 not in runs:
        return None
    one, two = (spread([run.whole_s for run in runs[number]])["median"] for number in (1, 2))
    return one / two


def _growth(few: Sequence[Run], many: Sequence[Run], *, further_rows: int) -> Mapping[str, float]:
    """What more rows add; of memory, between the runs that took most."""
    few_s, many_s = (spread([run.whole_s for run in runs])["median"] for runs in (few, many))
    few_cpu_s, many_cpu_s = (spread([run.driver_cpu_s for run in runs])["median"] for runs in (few, many))
    few_held, many_held = (max(run.driver_peak_bytes for run in runs) for runs in (few, many))
    few_worker, many_worker = (max(run.workers.peak_bytes for run in runs) for runs in (few, many))
    return {
        "wall": many_s / few_s,
        "driver_cpu_us_per_further_row": (many_cpu_s - few_cpu_s) / further_rows * 1e6,
        "driver_peak_bytes": many_held - few_held,
        "worker_peak": many_worker / few_worker,
    }


def _alone_cpu_s_per_row(rows: int) -> float:
    """Processor seconds of the same operators on the first rows, in this process."""
    resources = Resources(tokenizer=ModelTokenizer(model=resolve_model(BUNDLED)))
    made = (damaged_row(at, language="english") for at in range(rows))
    table = record_table([(row.question, row.answer) for row in made], prefix="row")
    apply_here(CLEANING_RECIPE, table.slice(0, 100), resources)  # what is loaded at first use is not their speed
    started = time.process_time()
    apply_here(CLEANING_RECIPE, table, resources)
    return (time.process_time() - started) / rows
