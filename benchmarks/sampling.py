"""Sampling a million embeddings out of core: seconds, passes and peak memory of each method.

Each method runs in a process of its own on a memory-mapped matrix of clustered, anisotropic rows with cosines of both
signs, and copies among them.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from actors.storage.scratch import scratch_folder
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.samplers.herding import sample_by_herding
from autodp_ray.samplers.paper import sample_by_equation_4
from autodp_ray.samplers.stratified import sample_stratified
from autodp_ray.samplers.units import Units
from benchmarks.machine import copied_bytes_per_s, peak_bytes
from benchmarks.protocol import Figures
from benchmarks.repeated import repeated, spread

ROWS, SMOKE_ROWS, DIM, RATE = 1_000_000, 20_000, 384, 0.2
MAX_MEMORY_FACTOR = 2.0
"""Largest peak memory of the paper's method, as a multiple of the float32 matrix; the process itself counts too."""
PROCESS_BYTES = 400 * 2**20
"""What the interpreter and its libraries take; allowed on top in a smoke run, where the matrix is small against it."""
COPIES_FRAC = 0.02
_CHUNK = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCost:
    """What one method took."""

    num_picked: int
    num_passes: int | None
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Figures of every method on a million rows by default."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    with scratch_folder() as folder:
        path = folder / "embeddings.f32"
        write_embeddings(path, rows)
        measured = {method: repeated(partial(_in_own_process, method, path, rows)) for method in DRAWS}
    matrix_bytes = rows * DIM * 4
    # In a smoke run the matrix is small against the process that holds it.
    allowed = MAX_MEMORY_FACTOR * matrix_bytes + (PROCESS_BYTES if smoke else 0)
    figures: dict[str, object] = {
        "rows": rows,
        "dim": DIM,
        "rate": RATE,
        "due": round(RATE * rows),
        "matrix_bytes": matrix_bytes,
        "one_pass_s": matrix_bytes / copied_bytes_per_s()["median"],
        "allowed_peak_bytes": allowed,
    }
    return figures | {name: _figures(runs, matrix_bytes) for name, runs in measured.items()}


def _figures(runs: Sequence[MethodCost], matrix_bytes: int) -> Figures:
    peak_bytes = max(one.peak_bytes for one in runs)
    return {
        "num_picked": runs[0].num_picked,
        "num_passes": runs[0].num_passes,
        "seconds": spread([one.seconds for one in runs]),
        "cpu_seconds": spread([one.cpu_seconds for one in runs]),
        "peak_bytes": peak_bytes,
        "peak_over_matrix": peak_bytes / matrix_bytes,
    }


def write_embeddings(path: Path, rows: int, *, seed: int = 0) -> None:
    """A file of float32 rows [rows, DIM]: 200 clusters of uneven size around a common direction, and some copies."""
    rng = np.random.default_rng(seed)
    scales = np.linspace(1.2, 0.2, DIM)
    centres = rng.normal(size=(200, DIM)) * scales + 0.35 * rng.normal(size=DIM)
    weights = rng.dirichlet(np.full(len(centres), 0.5))
    with path.open("wb") as file:
        for start in range(0, rows, _CHUNK):
            count = min(_CHUNK, rows - start)
            chunk = centres[rng.choice(len(centres), size=count, p=weights)].astype(np.float32)
            chunk += np.float32(0.8) * rng.standard_normal((count, DIM), dtype=np.float32)
            chunk /= np.linalg.norm(chunk, axis=1, keepdims=True)
            chunk[rng.random(count) < COPIES_FRAC] = chunk[0]
            file.write(chunk.tobytes())


def _by_paper(matrix: EmbeddingMatrix, num_rows: int) -> tuple[Int64, int | None]:
    sample = sample_by_equation_4(matrix, num_rows)
    return sample.rows, sample.num_passes


def _by_herding(matrix: EmbeddingMatrix, num_rows: int) -> tuple[Int64, int | None]:
    return sample_by_herding(matrix, Units.of_rows(np.arange(matrix.num_rows)), num_rows), None


def _stratified(matrix: EmbeddingMatrix, num_rows: int) -> tuple[Int64, int | None]:
    return sample_stratified(matrix, Units.of_rows(np.arange(matrix.num_rows)), num_rows), None


DRAWS: Mapping[str, Callable[[EmbeddingMatrix, int], tuple[Int64, int | None]]] = {
    "paper": _by_paper,
    "herding": _by_herding,
    "stratified": _stratified,
}
"""(rows, passes over the matrix) of each sampler's algorithm, without what is drawn at random beside it."""


def _in_own_process(method: str, path: Path, rows: int) -> MethodCost:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (method, path, rows))


def _measure(method: str, path: Path, rows: int) -> MethodCost:
    matrix = EmbeddingMatrix.of_array(np.memmap(path, dtype=np.float32, mode="r", shape=(rows, DIM)))
    target = round(RATE * rows)
    started, cpu_started = time.monotonic(), time.process_time()
    picked, passes = DRAWS[method](matrix, target)
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    assert len(np.unique(picked)) == len(picked)
    return MethodCost(
        num_picked=len(picked),
        num_passes=passes,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        peak_bytes=peak_bytes(),
    )
