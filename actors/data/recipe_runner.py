"""Runs recipes of operators over stored datasets, stage by stage.

A dataset is a table of part files. Workers read a part (memory-mapped), apply the operators, write the resulting part
and return one small row: its manifest entry and its counts by reason. So rows never pass through the driver, memory is
bounded by the parts in flight, and a retried task counts once, because only the attempt that succeeded returns a row.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import ray
from ray import cloudpickle

from actors.cluster.kept_worker import run_on_kept_worker
from actors.cluster.nodes import is_on_loopback
from actors.data.exchange_files import SentFile
from actors.data.finished_parts import FINISHED, FinishedParts
from actors.data.lent_operator import LentOperator, built_parts
from actors.data.part_jobs import (
    ApplyDecision,
    ApplyRows,
    ApplyTold,
    PartJob,
    PartWriter,
    PickShots,
    ScreenPart,
    SendPart,
    SketchPart,
    ToldParts,
    Written,
    count_rows,
)
from actors.data.part_passes import is_whole, map_parts
from actors.data.pool_config import PoolConfig
from actors.data.sketch_files import SketchFile, read_sketch
from actors.data.stored_dataset import MANIFEST, StoredDataset, write_manifest
from actors.data.stored_exchange import StepWork, StoredExchange, Tasks
from actors.data.task_pool import TaskNeeds, run_tasks
from actors.data.worker_faults import attempt, faults_of_ray, taken
from actors.storage.storage import Storage
from operators.contract.digest import json_digest
from operators.contract.errors import AutoDPError
from operators.contract.operator import (
    DatasetOperator,
    Decision,
    Needs,
    Operator,
    PartitionedOperator,
    RowOperator,
)
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

    With `resources.screener`, the dataset is screened once, before the first stage (target_selection.py). `out` belongs
    to this recipe on this dataset with these resources alone: what an earlier attempt has finished there, stages and
    parts of a stage, is not done again.

    Raises: EndpointError where a model could not be reached, RunError where an operator failed. Then `out` holds no
    manifest, so nothing of it can be taken for a dataset.
    """
    stages = _stages_of(recipe, has_screener=resources.screener is not None)
    folders = [*(out.folder(f"stage-{number}") for number in range(len(stages) - 1)), out]
    start, current = _finished_stage(dataset, folders, pool)
    for number in range(start, len(stages)):
        last = number == len(stages) - 1
        writer = PartWriter(folder=folders[number], is_last=last)
        log.info("stage %d of %d: %s on %d rows", number + 1, len(stages), _names(stages[number]), current.num_rows)
        counted = current.manifest.counts if number else {}
        stage = _Stage(
            dataset=current, resources=resources, out=writer, pool=pool, on_progress=on_progress, counted=counted
        )
        current = stage.run(stages[number])
        if number:
            stage.dataset.folder.delete()
    return current


def _finished_stage(dataset: StoredDataset, folders: Sequence[Storage], pool: PoolConfig) -> tuple[int, StoredDataset]:
    """The first stage that is left to do, and what it starts from; what lies there and is of no use any more goes."""
    for number in reversed(range(len(folders))):
        found = StoredDataset.open(folders[number])
        if found is None:
            continue
        if is_whole(found, pool):
            for earlier in folders[:number]:
                earlier.delete()
            found.folder.delete(FINISHED)
            return number + 1, found
        found.folder.delete(MANIFEST)
    return 0, dataset


_Operators = Sequence[RowOperator] | DatasetOperator | PartitionedOperator
"""Those of one stage; none in the stage that screens."""


def _stages_of(recipe: Sequence[Operator], *, has_screener: bool) -> list[_Operators]:
    """The passes over the rows; with a screener and an operator that goes by it, screening is the first."""
    screens = has_screener and any(operator.is_targeted() for operator in recipe)
    return [*([()] if screens else []), *_stages(recipe)]


def _stages(recipe: Sequence[Operator]) -> Iterator[_Operators]:
    """Neighbouring ROW operators run in one pass; one that needs shots starts a pass: they come from its input."""
    together: list[RowOperator] = []
    for operator in recipe:
        sees_all = isinstance(operator, DatasetOperator | PartitionedOperator)
        if together and (sees_all or operator.needs.shots):
            yield together
            together = []
        if isinstance(operator, DatasetOperator | PartitionedOperator):
            yield operator
        elif isinstance(operator, RowOperator):
            together.append(operator)
        else:
            raise TypeError(
                f"{type(operator).__name__} is no RowOperator, DatasetOperator or PartitionedOperator: derive it"
            )
    if together:
        yield together


def _names(stage: _Operators) -> str:
    if isinstance(stage, DatasetOperator | PartitionedOperator):
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
    counted: Mapping[str, int]
    """By the stages before."""

    def run(self, operators: _Operators) -> StoredDataset:
        """The stage of these operators; of none, the one that screens."""
        if isinstance(operators, DatasetOperator):
            return self.run_dataset(operators)
        if isinstance(operators, PartitionedOperator):
            return self.run_partitioned(operators)
        if operators:
            return self.run_rows(operators)
        assert self.resources.screener is not None
        return self.screen(self.resources.screener)

    def screen(self, screener: Screener) -> StoredDataset:
        job = ScreenPart(screener=screener, out=self.out)
        written = self._map(job, "screening", [Needs(own_model=True)], finished=self._finished([]))
        return self._close(written, {})

    def run_rows(self, operators: Sequence[RowOperator]) -> StoredDataset:
        resources = self._with_shots(operators[0])
        lent = [LentOperator.of(operator, resources) for operator in operators]
        job = ApplyRows(operators=lent, out=self.out, rows_at_once=self.pool.part_rows)
        needs = [operator.needs for operator in operators]
        written = self._map(job, _names(operators), needs, finished=self._finished(operators))
        return self._close(written, {})

    def run_dataset(self, operator: DatasetOperator) -> StoredDataset:
        lent = LentOperator.of(operator, self.resources)
        with self.out.folder.folder("sketches").scratch() as sketches:
            job = SketchPart(operator=lent, out=sketches)
            sketched = self._map(job, f"{operator.name} (sketch)", [operator.needs])
            decided, appended, counts = self._decided(lent, sketches, [one.file for one in sketched])
        carry_out = ApplyDecision(operator=lent, decision=ray.put(decided), out=self.out)
        finished = self._finished([operator], decision=hashlib.sha256(cloudpickle.dumps(decided)).hexdigest())
        written = self._map(carry_out, operator.name, [operator.needs.of_hardware], finished=finished)
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

    def run_partitioned(self, operator: PartitionedOperator) -> StoredDataset:
        lent = LentOperator.of(operator, self.resources)
        with self.out.folder.folder("exchange").scratch() as folder:
            return self._exchanged(lent, folder)

    def _exchanged(self, lent: LentOperator[PartitionedOperator], folder: Storage) -> StoredDataset:
        operator = lent.operator
        sent = self._map(SendPart(operator=lent, out=folder), f"{operator.name} (sketch)", [operator.needs])
        exchange = StoredExchange(folder=folder, run_tasks=partial(self._run_tasks, operator))
        transform = operator.build(lent.resources)
        transform.decide(exchange.send([one.file for one in sent]), exchange)
        told = [exchange.inbox(part, transform.decision) for part in range(len(sent))]
        carry_out = ApplyTold(operator=lent, told=ray.put(ToldParts.of(told)), out=self.out)
        finished = self._finished([operator], decision=json_digest([inbox.digest for inbox in told]))
        written = self._map(carry_out, operator.name, [operator.needs.of_hardware], finished=finished)
        exchange.delete_files()
        return self._close(written, sum((Counter(one.counts) for one in sent), Counter()))

    def _run_tasks(
        self, operator: PartitionedOperator, groups: Iterable[Tasks], work: StepWork, task_bytes: int
    ) -> Iterator[tuple[int, list[SentFile]]]:
        """The tasks of an exchange, on the same kind of process as the operator's passes."""
        workers = self.pool.workers([operator.needs.of_hardware], num_parts=1, num_rows=self.dataset.num_rows)
        if workers.kind == "kept" and is_on_loopback():
            with faults_of_ray(operator.name):
                for place, tasks in enumerate(groups):
                    yield place, taken(run_on_kept_worker(partial(attempt, partial(work, tasks))), operator.name)
            return
        needs = TaskNeeds(num_cpus=workers.num_cpus, num_gpus=workers.num_gpus, memory_bytes=task_bytes)
        yield from run_tasks(groups, work, name=operator.name, needs=needs, max_in_flight=workers.max_workers)

    def _with_shots(self, operator: Operator) -> Resources:
        if not operator.needs.shots:
            return self.resources
        picked = self._map(PickShots(seed=operator.seed, k=operator.needs.shots), "few-shots")
        merged = pa.concat_tables(picked, promote_options="default")
        return replace(self.resources, shots=lowest_hash_complete(merged, seed=operator.seed, k=operator.needs.shots))

    def _finished(self, operators: Sequence[Operator], *, decision: str = "") -> FinishedParts:
        """The parts that an earlier attempt at this pass has finished."""
        made_of = {
            "input": self.dataset.content_hash,
            "operators": [operator.fingerprint() for operator in operators],
            "decision": decision,
        }
        return FinishedParts(folder=self.out.folder, key=json_digest(made_of))

    def _map(
        self, job: PartJob[T], name: str, needs: Sequence[Needs] = (), *, finished: FinishedParts | None = None
    ) -> list[T]:
        rows = 0
        results: dict[int, T] = {}
        done = map_parts(self.dataset, job, needs=needs, pool=self.pool, name=name, finished=finished)
        for index, num_rows, payload in done:
            results[index] = payload
            rows += num_rows
            if self.on_progress:
                self.on_progress(rows, self.dataset.num_rows)
        return [results[index] for index in sorted(results)]

    def _close(self, written: Sequence[Written], counts: Mapping[str, int]) -> StoredDataset:
        total = Counter(self.counted) + Counter(counts)
        for item in written:
            total.update(item.counts)
        closed = write_manifest(self.out.folder, [item.part for item in written], total)
        self.out.folder.delete(FINISHED)
        return closed


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
        num_added = 0 if decision.appended is None else decision.appended.num_rows
        count_rows(operator.operator.name, num_in=0, num_out=num_added, counts=decision.counts)
        if decision.appended is not None and num_added:
            appended = Written(part=out.write(len(sketches), decision.appended), counts={})
        counts.update(decision.counts)
        return replace(decision, appended=None), appended, +counts

    return attempt(decide)
