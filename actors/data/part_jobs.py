"""What a worker does with one part of a dataset: screen it, sketch it, apply operators to it, pick few-shots from it.

Jobs are picklable plain data. Where they run, and what becomes of their results, recipe_runner.py decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import pyarrow as pa
import ray

from actors.data.sketch_files import SketchFile, write_sketch
from actors.data.stored_dataset import Part, write_part
from actors.data.target_selection import targets, with_verdicts, without_verdicts, work_on_targets
from actors.llm.usage import Usage
from actors.storage.storage import Storage
from operators.contract.counts import counts_of
from operators.contract.operator import DatasetTransform, Decision, Operator, RowTransform
from operators.contract.resources import Resources, Screener
from operators.rows.record import lowest_hash_complete


@runtime_checkable
class MeteredCompleter(Protocol):
    """A completer that counts its calls and tokens."""

    def usage(self) -> Usage: ...


class _Counted(Protocol):
    def counts(self) -> dict[str, int]: ...


@runtime_checkable
class MeteredScreener(Protocol):
    """A screener that counts, as `screened:requested` and so on, what was asked of it and what a model judged."""

    def usage(self) -> _Counted: ...


class PartJob(Protocol):
    """What a worker does with one part; picklable."""

    def __call__(self, index: int, table: pa.Table) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A part that a worker wrote, with its counts by reason."""

    part: Part
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartWriter:
    """Writes the parts of a stage; those of a team's last stage go without the verdicts."""

    folder: Storage
    is_last: bool = True

    def write(self, index: int, table: pa.Table) -> Part:
        return write_part(self.folder, index, without_verdicts(table) if self.is_last else table)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenPart:
    """A verdict for every row."""

    screener: Screener
    out: PartWriter

    def __call__(self, index: int, table: pa.Table) -> Written:
        before = self._usage()
        screened = with_verdicts(table.replace_schema_metadata(None), self.screener)
        spent = self._usage()
        spent.subtract(before)
        return Written(part=self.out.write(index, screened), counts=Counter(counts_of(screened)) | spent)

    def _usage(self) -> Counter[str]:
        """What the process's screener has done so far; nothing for one that keeps no books."""
        return Counter(self.screener.usage().counts() if isinstance(self.screener, MeteredScreener) else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRows:
    """ROW operators, one after another, on one part."""

    operators: Sequence[Operator]
    resources: Resources
    out: PartWriter

    def __call__(self, index: int, table: pa.Table) -> Written:
        counts: Counter[str] = Counter()
        before = llm_usage(self.resources)
        for operator in self.operators:
            table = self._apply(operator, table.replace_schema_metadata(None))
            counts.update(counts_of(table))
        counts.update(llm_usage(self.resources))
        counts.subtract(before)
        return Written(part=self.out.write(index, table), counts=+counts)

    def _apply(self, operator: Operator, table: pa.Table) -> pa.Table:
        transform = cast(RowTransform, operator.build(self.resources))
        return work_on_targets(table, transform) if is_targeted(operator, self.resources) else transform(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchPart:
    """The sketch of a DATASET operator, its data written to a folder: all together may be as large as the texts."""

    operator: Operator
    resources: Resources
    out: Storage

    def __call__(self, index: int, table: pa.Table) -> SketchFile:
        seen = targets(table) if is_targeted(self.operator, self.resources) else table
        sketch = cast(DatasetTransform, self.operator.build(self.resources)).sketch(seen)
        return write_sketch(self.out, f"{index:08d}.sketch", sketch)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyDecision:
    """The decision of a DATASET operator carried out on one part."""

    operator: Operator
    resources: Resources
    decision: ray.ObjectRef[Decision]
    out: PartWriter

    def __call__(self, index: int, table: pa.Table) -> Written:
        transform = cast(DatasetTransform, self.operator.build(self.resources))
        decision = ray.get(self.decision)
        if is_targeted(self.operator, self.resources):
            done = work_on_targets(table, lambda rows: transform.apply(rows, decision))
        else:
            done = transform.apply(table, decision)
        return Written(part=self.out.write(index, done), counts=counts_of(done))


@dataclass(frozen=True, slots=True, kw_only=True)
class PickShots:
    """The part's few-shot candidates."""

    seed: int
    k: int

    def __call__(self, index: int, table: pa.Table) -> object:
        return lowest_hash_complete(table, seed=self.seed, k=self.k)


def is_targeted(operator: Operator, resources: Resources) -> bool:
    """Whether clean rows pass by the operator: a screener is lent, and the operator declares so."""
    return resources.screener is not None and operator.is_targeted()


def llm_usage(resources: Resources) -> dict[str, int]:
    """What the process's completer has done so far, as counts; nothing for one that keeps no books."""
    return resources.completer.usage().counts() if isinstance(resources.completer, MeteredCompleter) else {}
