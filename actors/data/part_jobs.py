"""What a worker does with one part of a dataset: screen it, sketch it, apply operators to it, pick few-shots from it.

Jobs are picklable plain data. Where they run, and what becomes of their results, recipe_runner.py decides.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import ray

from actors.cluster.metrics import PART_BYTES, ROWS_DROPPED, ROWS_IN, ROWS_OUT
from actors.data.exchange_files import SentFile, StoredInbox, write_sent
from actors.data.lent_operator import LentOperator, built_partitioned, built_parts, built_rows
from actors.data.sketch_files import SketchFile, write_sketch
from actors.data.stored_dataset import Part, write_part
from actors.data.target_selection import targets, with_verdicts, without_verdicts, work_on_targets
from actors.data.usage_counts import added_to, books_of
from actors.storage.storage import Storage
from operators.contract.counts import Transformed
from operators.contract.operator import DatasetOperator, Decision, PartitionedOperator, RowOperator
from operators.contract.resources import Screener
from operators.rows.record import lowest_hash_complete

Result_co = TypeVar("Result_co", covariant=True)


class PartJob(Protocol[Result_co]):
    """What a worker does with one part; picklable, as its result is."""

    def __call__(self, index: int, table: pa.Table) -> Result_co: ...


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
        part = write_part(self.folder, index, without_verdicts(table) if self.is_last else table)
        PART_BYTES.add(part.num_bytes, "written")
        return part

    def written(self, index: int, done: Transformed, spent: Counter[str]) -> Written:
        """The part of what an operator made, with its counts and those of the models that it asked."""
        return Written(part=self.write(index, done.table), counts=+(spent + Counter(done.counts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenPart:
    """A verdict for every row."""

    screener: Screener
    out: PartWriter

    def __call__(self, index: int, table: pa.Table) -> Written:
        spent: Counter[str] = Counter()
        with added_to(spent, lambda: books_of(self.screener)):
            screened = with_verdicts(table, self.screener)
        return Written(part=self.out.write(index, screened.table), counts=Counter(screened.counts) | spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRows:
    """ROW operators, one after another, on one part."""

    operators: Sequence[LentOperator[RowOperator]]
    out: PartWriter
    rows_at_once: int
    """What is made of a part in between may be many times as large, so its rows go through all operators in pieces."""

    def __call__(self, index: int, table: pa.Table) -> Written:
        counts: Counter[str] = Counter()
        starts = range(0, max(table.num_rows, 1), self.rows_at_once)
        pieces = [self._applied(table.slice(start, self.rows_at_once), counts) for start in starts]
        done = pa.concat_tables(pieces, promote_options="default").combine_chunks()
        return Written(part=self.out.write(index, done), counts=+counts)

    def _applied(self, table: pa.Table, counts: Counter[str]) -> pa.Table:
        """What becomes of some rows; adds the counts by reason."""
        for operator in self.operators:
            with built_rows(operator).counted(counts) as transform:
                done = work_on_targets(table, transform) if operator.is_targeted else transform(table)
            count_rows(operator.operator.name, num_in=table.num_rows, num_out=done.table.num_rows, counts=done.counts)
            counts.update(done.counts)
            table = done.table
        return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketched:
    """A sketch that a worker wrote, with what was asked of models for it."""

    file: SketchFile
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchPart:
    """The sketch of a DATASET operator, its data written to a folder: all together may be as large as the texts."""

    operator: LentOperator[DatasetOperator]
    out: Storage

    def __call__(self, index: int, table: pa.Table) -> Sketched:
        seen = targets(table) if self.operator.is_targeted else table
        counts: Counter[str] = Counter()
        with built_parts(self.operator).counted(counts) as transform:
            sketch = transform.sketch(seen)
        return Sketched(file=write_sketch(self.out, f"{index:08d}.sketch", sketch), counts=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyDecision:
    """The decision of a DATASET operator carried out on one part."""

    operator: LentOperator[DatasetOperator]
    decision: ray.ObjectRef[Decision]
    out: PartWriter

    def __call__(self, index: int, table: pa.Table) -> Written:
        counts: Counter[str] = Counter()
        with built_parts(self.operator).counted(counts) as transform:
            apply = partial(transform.apply, decision=ray.get(self.decision))
            done = work_on_targets(table, apply) if self.operator.is_targeted else apply(table)
        count_rows(self.operator.operator.name, num_in=table.num_rows, num_out=done.table.num_rows, counts=done.counts)
        return self.out.written(index, done, counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPart:
    """What the exchange gets of a part, with what was asked of models for it."""

    file: SentFile
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPart:
    """The first step of an exchange."""

    operator: LentOperator[PartitionedOperator]
    out: Storage

    def __call__(self, index: int, table: pa.Table) -> SentPart:
        seen = targets(table) if self.operator.is_targeted else table
        counts: Counter[str] = Counter()
        with built_partitioned(self.operator).counted(counts) as transform:
            sent = transform.sketch(index, seen)
        return SentPart(file=write_sent(self.out, f"part-{index:06d}.arrow", sent), counts=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldParts:
    """What an exchange told each part: the bytes of all inboxes, of which a worker unpacks its part's alone."""

    packed: np.ndarray
    ends: np.ndarray
    """Where the bytes of each part end."""

    @classmethod
    def of(cls, inboxes: Sequence[StoredInbox]) -> ToldParts:
        packed = [pickle.dumps(inbox) for inbox in inboxes]
        return cls(packed=np.frombuffer(b"".join(packed), dtype=np.uint8), ends=np.cumsum([len(one) for one in packed]))

    def inbox(self, part: int) -> StoredInbox:
        start = self.ends[part - 1] if part else 0
        found: StoredInbox = pickle.loads(self.packed[start : self.ends[part]].tobytes())  # it came through Ray
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyTold:
    """What an exchange told each part, carried out on one."""

    operator: LentOperator[PartitionedOperator]
    told: ray.ObjectRef[ToldParts]
    out: PartWriter

    def __call__(self, index: int, table: pa.Table) -> Written:
        counts: Counter[str] = Counter()
        with built_partitioned(self.operator).counted(counts) as transform:
            apply = partial(transform.apply, inbox=ray.get(self.told).inbox(index))
            done = work_on_targets(table, apply) if self.operator.is_targeted else apply(table)
        count_rows(self.operator.operator.name, num_in=table.num_rows, num_out=done.table.num_rows, counts=done.counts)
        return self.out.written(index, done, counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickShots:
    """The part's few-shot candidates."""

    seed: int
    k: int

    def __call__(self, index: int, table: pa.Table) -> pa.Table:
        return lowest_hash_complete(table, seed=self.seed, k=self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPart:
    """Nothing: whoever has read the part has checked it."""

    def __call__(self, index: int, table: pa.Table) -> None: ...


def count_rows(operator: str, *, num_in: int, num_out: int, counts: Mapping[str, int]) -> None:
    """For whoever watches: what an operator was given, gave back and dropped."""
    ROWS_IN.add(num_in, operator)
    ROWS_OUT.add(num_out, operator)
    for reason, count in counts.items():
        if reason.startswith("dropped:"):
            ROWS_DROPPED.add(count, operator, reason.removeprefix("dropped:"))
