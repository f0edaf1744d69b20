"""Runs recipes of operators over stored datasets with Ray Data. The only caller of `map_batches`.

A dataset is a table of part files. Workers read a part (memory-mapped), apply the operators, write the resulting part
and return one small row: its manifest entry and its counts by reason. So rows never pass through the driver, memory is
bounded by the parts in flight, and a retried task counts once, because only the attempt that succeeded returns a row.
"""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import ray
import ray.data

from actors.cluster.kept_worker import run_on_kept_worker
from actors.cluster.nodes import is_on_loopback
from actors.data.lent_operator import LentOperator, built_parts
from actors.data.part_jobs import (
    ApplyDecision,
    ApplyRows,
    PartJob,
    PartWriter,
    PickShots,
    ScreenPart,
    SketchPart,
    Written,
)
from actors.data.pool_config import PoolConfig
from actors.data.sketch_files import SketchFile, read_sketch
from actors.data.stored_dataset import StoredDataset, read_checked, write_manifest
from actors.data.worker_faults import attempt, faults_of_ray, taken
from actors.storage.storage import Storage
from operators.contract.errors import AutoDPError
from operators.contract.operator import DatasetOperator, Decision, Needs, Operator, RowOperator
from operators.contract.resources import Resources, Screener
from operators.rows.record import lowest_hash_complete

log = logging.getLogger(__name__)

T = TypeVar("T")


ProgressFn = Callable[[int, int], None]
"""Called with (rows done, rows of the dataset) as parts come back."""


def run_recipe(
    dataset: StoredDataset,
    recipe: Sequence[Operator],
    *,
    resources: Resources,
    out: Storage,
    pool: PoolConfig,
    on_progress: ProgressFn | None = None,
) -> StoredDataset:
    """Apply a recipe to a dataset and write the result, with its counts by reason, into the folder `out`.

    With `resources.screener`, the dataset is screened once, before the first stage (target_selection.py).

    Raises: EndpointError where a model could not be reached, RunError where an operator failed. Then `out` holds no
    manifest, so nothing of it can be taken for a dataset.
    """
    stages: list[_Operators] = list(_stages(recipe))
    if resources.screener is not None and any(operator.is_targeted() for operator in recipe):
        stages.insert(0, ())
    counts: Counter[str] = Counter()
    current = dataset
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        writer = PartWriter(folder=out if last else out.folder(f"stage-{number}"), is_last=last)
        log.info("stage %d of %d: %s on %d rows", number + 1, len(stages), _names(stage), current.num_rows)
        done = _Stage(dataset=current, resources=resources, out=writer, pool=pool, on_progress=on_progress).run(stage)
        if current is not dataset:
            current.folder.delete()
        counts.update(done.manifest.counts)
        current = done
    return write_manifest(out, current.manifest.parts, counts)


_Operators = Sequence[RowOperator] | DatasetOperator
"""Those of one stage; none in the stage that screens."""


def _stages(recipe: Sequence[Operator]) -> Iterator[_Operators]:
    """Neighbouring ROW operators run in one pass; one that needs shots starts a pass: they come from its input."""
    together: list[RowOperator] = []
    for operator in recipe:
        if together and (isinstance(operator, DatasetOperator) or operator.needs.shots):
            yield together
            together = []
        if isinstance(operator, DatasetOperator):
            yield operator
        elif isinstance(operator, RowOperator):
            together.append(operator)
        else:
            raise TypeError(f"{type(operator).__name__} is neither a RowOperator nor a DatasetOperator: derive it")
    if together:
        yield together


def _names(stage: _Operators) -> str:
    if isinstance(stage, DatasetOperator):
        return stage.name
    return ", ".join(operator.name for operator in stage) or "screening"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One pass over a dataset."""

    dataset: StoredDataset
    resources: Resources
    out: PartWriter
    pool: PoolConfig
    on_progress: ProgressFn | None

    def run(self, operators: _Operators) -> StoredDataset:
        """The stage of these operators; of none, the one that screens."""
        if isinstance(operators, DatasetOperator):
            return self.run_dataset(operators)
        if operators:
            return self.run_rows(operators)
        assert self.resources.screener is not None
        return self.screen(self.resources.screener)

    def screen(self, screener: Screener) -> StoredDataset:
        written = self._map(ScreenPart(screener=screener, out=self.out), "screening", [Needs(own_model=True)])
        return self._close(written, {})

    def run_rows(self, operators: Sequence[RowOperator]) -> StoredDataset:
        resources = self._with_shots(operators[0])
        job = ApplyRows(operators=[LentOperator.of(operator, resources) for operator in operators], out=self.out)
        written = self._map(job, _names(operators), [operator.needs for operator in operators])
        return self._close(written, {})

    def run_dataset(self, operator: DatasetOperator) -> StoredDataset:
        sketches = self.out.folder.folder("sketches")
        lent = LentOperator.of(operator, self.resources)
        job = SketchPart(operator=lent, out=sketches)
        sketched = self._map(job, f"{operator.name} (sketch)", [operator.needs])
        decided, appended, counts = self._decided(lent, sketches, [one.file for one in sketched])
        sketches.delete()
        carry_out = ApplyDecision(operator=lent, decision=ray.put(decided), out=self.out)
        written = self._map(carry_out, operator.name, [operator.needs.of_hardware])
        total = sum((Counter(one.counts) for one in sketched), Counter(counts))
        return self._close(written + ([appended] if appended else []), total)

    def _decided(
        self, operator: LentOperator[DatasetOperator], sketches: Storage, files: Sequence[SketchFile]
    ) -> Decided:
        """The decision, in a process that holds what the operator needs of hardware."""
        decide = partial(_decide, operator, sketches, files, self.out)
        name, needs = operator.operator.name, operator.operator.needs.of_hardware
        workers = self.pool.workers([needs], num_parts=1, num_rows=self.dataset.num_rows)
        result: Decided | AutoDPError
        with faults_of_ray(name):
            if workers.kind == "kept" and is_on_loopback():
                result = run_on_kept_worker(decide)
            else:
                task: Any = ray.remote(num_cpus=workers.num_cpus, num_gpus=workers.num_gpus)(_call)  # stubs lose it
                result = ray.get(task.remote(decide))
        return taken(result, name)

    def _with_shots(self, operator: Operator) -> Resources:
        if not operator.needs.shots:
            return self.resources
        picked = self._map(PickShots(seed=operator.seed, k=operator.needs.shots), "few-shots")
        merged = pa.concat_tables(picked, promote_options="default")
        return replace(self.resources, shots=lowest_hash_complete(merged, seed=operator.seed, k=operator.needs.shots))

    def _map(self, job: PartJob[T], name: str, needs: Sequence[Needs] = ()) -> list[T]:
        rows = 0
        results: dict[int, T] = {}
        for index, num_rows, payload in map_parts(self.dataset, job, needs=needs, pool=self.pool, name=name):
            results[index] = payload
            rows += num_rows
            if self.on_progress:
                self.on_progress(rows, self.dataset.num_rows)
        return [results[index] for index in sorted(results)]

    def _close(self, written: Sequence[Written], counts: Mapping[str, int]) -> StoredDataset:
        total = Counter(counts)
        for item in written:
            total.update(item.counts)
        return write_manifest(self.out.folder, [item.part for item in written], total)


Decided = tuple[Decision, Written | None, Mapping[str, int]]
"""A decision without its new rows, the part that holds those rows, and the decision's counts."""


def _call(step: Callable[[], T]) -> T:
    return step()


def _decide(
    operator: LentOperator[DatasetOperator], folder: Storage, sketches: Sequence[SketchFile], out: PartWriter
) -> Decided | AutoDPError:
    """Decide in a worker; neither the sketches' data nor rows that the decision adds pass through the driver.

    Only what the jobs say they wrote is read, and as data (sketch_files.py): others may write to the folder too.
    """

    def decide() -> Decided:
        counts: Counter[str] = Counter()
        parts = [read_sketch(folder, file) for file in sketches]
        with built_parts(operator).counted(counts) as transform:
            decision = transform.decide(parts)
        appended = None
        if decision.appended is not None and decision.appended.num_rows:
            appended = Written(part=out.write(len(sketches), decision.appended), counts={})
        counts.update(decision.counts)
        return replace(decision, appended=None), appended, +counts

    return attempt(decide)


def map_parts(
    dataset: StoredDataset, job: PartJob[T], *, needs: Sequence[Needs], pool: PoolConfig, name: str
) -> Iterator[tuple[int, int, T]]:
    """Run a job, which holds what `needs` say, on every part; yields (part index, rows, result) as they come."""
    parts = dataset.manifest.parts
    if not parts:
        return
    rows = [{"index": index, "file": part.file, "checksum": part.checksum} for index, part in enumerate(parts)]
    workers = pool.workers(needs, num_parts=len(parts), num_rows=dataset.num_rows)
    results: Iterable[Mapping[str, Any]]
    if workers.kind == "kept" and is_on_loopback():
        results = _on_kept_worker(PartWorker(dataset.folder, job), rows)
    elif workers.kind == "pool":
        source = ray.data.from_items(rows, override_num_blocks=len(rows))
        results = source.map_batches(
            PartWorker,
            fn_constructor_args=(dataset.folder, job),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers.max_workers),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=workers.num_cpus,
            num_gpus=workers.num_gpus,
        ).iter_rows()
    else:
        source = ray.data.from_items(rows, override_num_blocks=len(rows))
        worker = PartWorker(dataset.folder, job)
        results = source.map_batches(
            lambda batch: worker(batch),
            compute=ray.data.TaskPoolStrategy(size=workers.max_workers and min(workers.max_workers, len(parts))),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=workers.num_cpus,
        ).iter_rows()
    with faults_of_ray(name):
        for row in results:
            yield row["index"], row["num_rows"], taken(pickle.loads(row["payload"]), name)


def _on_kept_worker(worker: PartWorker, rows: Sequence[Mapping[str, object]]) -> Iterator[Mapping[str, Any]]:
    """The results one after another; a generator, so that faults of Ray come where results are taken."""
    for row in rows:
        yield from run_on_kept_worker(partial(worker, pa.Table.from_pylist([row]))).to_pylist()


class PartWorker:
    """Reads a part, checks its bytes, hands it to the job, returns what the job says as one small row."""

    def __init__(self, folder: Storage, job: PartJob[object]) -> None:
        self._folder = folder
        self._job = job

    def __call__(self, batch: pa.Table) -> pa.Table:
        (row,) = batch.to_pylist()
        table = attempt(lambda: read_checked(self._folder, row["file"], row["checksum"]))
        if isinstance(table, AutoDPError):
            return _result(row["index"], 0, table)
        return _result(row["index"], table.num_rows, attempt(lambda: self._job(row["index"], table)))


def _result(index: int, num_rows: int, payload: object) -> pa.Table:
    packed = pa.array([pickle.dumps(payload)], pa.binary())
    return pa.table({"index": [index], "num_rows": [num_rows], "payload": packed})
