"""One pass over the parts of a dataset, on the processes that suit it. The only caller of `map_batches`.

Work that keeps a model from part to part streams through Ray Data's actor pools; the rest runs on plain tasks
(task_pool.py), and on a process that lives on where the rows would fit in one part.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import pyarrow as pa

from actors.cluster.kept_worker import run_on_kept_worker
from actors.cluster.metrics import PART_BYTES
from actors.cluster.nodes import is_on_loopback
from actors.data.finished_parts import FinishedParts
from actors.data.part_jobs import CheckPart, PartJob, Written
from actors.data.pool_config import PoolConfig, Workers
from actors.data.stored_dataset import Part, StoredDataset, read_checked
from actors.data.task_pool import TaskNeeds, run_tasks
from actors.data.worker_faults import attempt, faults_of_ray, taken
from actors.storage.storage import Storage
from operators.contract.errors import RunError
from operators.contract.operator import Needs

if TYPE_CHECKING:
    from ray.data import DataContext

log = logging.getLogger(__name__)

T = TypeVar("T")

MEMORY_PER_PART_BYTE = 8
"""What a worker holds for each byte of its part: the rows, what becomes of them, and what is made in between."""


def map_parts(
    dataset: StoredDataset,
    job: PartJob[T],
    *,
    needs: Sequence[Needs],
    pool: PoolConfig,
    name: str,
    finished: FinishedParts | None = None,
) -> Iterator[tuple[int, int, T]]:
    """Run a job, which holds what `needs` say, on every part; yields (part index, rows, result) as they come.

    With `finished`, the job's results are `Written`: parts that an earlier attempt has finished are not done again.
    """
    parts = dataset.manifest.parts
    if not parts:
        return
    known = frozenset() if finished is None else finished.noted()
    asked = [_Asked(index=index, part=part, is_noted=index in known) for index, part in enumerate(parts)]
    worker = _PartWorker(folder=dataset.folder, job=job, finished=finished)
    workers = pool.workers(needs, num_parts=len(parts), num_rows=dataset.num_rows)
    if workers.kind == "kept" and is_on_loopback():
        results = _on_kept_worker(worker, asked, name)
    elif workers.kind == "pool":
        results = _on_actors(worker, asked, workers, name)
    else:
        task_needs = TaskNeeds(
            num_cpus=workers.num_cpus, memory_bytes=MEMORY_PER_PART_BYTE * max(part.num_bytes for part in parts)
        )
        results = run_tasks(asked, worker, name=name, needs=task_needs, max_in_flight=workers.max_workers)
    for index, result in results:
        yield index, parts[index].num_rows, result


def is_whole(dataset: StoredDataset, pool: PoolConfig) -> bool:
    """Whether all parts are there as they were written; workers read them."""
    try:
        for _ in map_parts(dataset, CheckPart(), needs=(), pool=pool, name="checking what is there"):
            pass
    except RunError as error:
        log.warning("%s; it is made again", error)
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A part that a worker shall do."""

    index: int
    part: Part
    is_noted: bool
    """Whether an earlier attempt left a note of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartWorker(Generic[T]):
    """Reads a part, checks its bytes, hands it to the job; or finds that it is done."""

    folder: Storage
    job: PartJob[T]
    finished: FinishedParts | None

    def __call__(self, asked: _Asked) -> T:
        if self.finished is not None and asked.is_noted:
            found = self.finished.find(asked.index, asked.part)
            if found is not None:
                return cast(T, found)
        PART_BYTES.add(asked.part.num_bytes, "read")
        result = self.job(asked.index, read_checked(self.folder, asked.part.file, asked.part.checksum))
        if self.finished is not None:
            assert isinstance(result, Written), f"{type(self.job).__name__} writes no part that could be found again"
            self.finished.note(asked.index, asked.part, result)
        return result


def _on_kept_worker(worker: _PartWorker[T], asked: Sequence[_Asked], name: str) -> Iterator[tuple[int, T]]:
    """The results one after another."""
    with faults_of_ray(name):
        for each in asked:
            yield each.index, taken(run_on_kept_worker(partial(attempt, partial(worker, each))), name)


def _on_actors(worker: _PartWorker[T], asked: Sequence[_Asked], workers: Workers, name: str) -> Iterator[tuple[int, T]]:
    import ray.data  # half a second of each worker process, which no other pass needs

    _quiet(ray.data.DataContext.get_current())
    rows = [{"index": each.index, "asked": pickle.dumps(each)} for each in asked]
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _RowOfPart,
        fn_constructor_args=(worker,),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers.max_workers),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=workers.num_cpus,
        num_gpus=workers.num_gpus,
    )
    with faults_of_ray(name):
        for row in results.iter_rows():
            yield row["index"], taken(pickle.loads(row["result"]), name)


def _quiet(context: DataContext) -> None:
    """It reports every execution; our own progress says enough."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)


class _RowOfPart(Generic[T]):
    """A worker as Ray Data asks for it: small rows in and out. What is pickled goes between processes of one Ray."""

    def __init__(self, worker: _PartWorker[T]) -> None:
        self._worker = worker

    def __call__(self, batch: pa.Table) -> pa.Table:
        (row,) = batch.to_pylist()
        result = attempt(partial(self._worker, pickle.loads(row["asked"])))
        return pa.table({"index": [row["index"]], "result": pa.array([pickle.dumps(result)], pa.binary())})
