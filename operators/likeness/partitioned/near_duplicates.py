"""Which rows are near-duplicates of others, decided step by step: the plan over all steps, which sees no rows.

Which rows go, and what they are copies of, is exactly what `group_rows` says of all rows together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from operators.contract.exchange import Sent, Step, TableExchange
from operators.contract.resources import KnownRows
from operators.likeness.near_duplicates import band_size
from operators.likeness.partitioned.cluster_steps import (
    ChooseSurvivors,
    ClusterRule,
    JoinPairs,
    LabelGroups,
    PackClusters,
    ShipClusters,
)
from operators.likeness.partitioned.copy_steps import CountSystem, FindCopies, SendKeys
from operators.likeness.partitioned.pair_steps import (
    ComparePairs,
    CountCrowd,
    FindCompany,
    FindTokenCompany,
    SendBands,
    SendTokens,
    ShipSketches,
    SumCrowd,
    Wave,
)
from operators.likeness.partitioned.part_sketches import KeepSurvivors, PartNote, SendKnown, part_sent, sketch_table
from operators.likeness.partitioned.tables import RowLayout
from operators.likeness.row_sketches import RowSketches, sketch_pieces
from operators.rows.content_columns import ContentColumns
from operators.texts.text import Int64, UInt64

PARTITION_BYTES = 32 << 20
"""Of the sketches of all rows, for each partition: partitions are what is compared side by side."""
MAX_PARTITION_BYTES = 256 << 20
"""Of a partition where there would be more than MANY_PARTITIONS."""
MANY_PARTITIONS = 512
PIECES = 8
"""In which a task groups the rows of its clusters."""
COPIES_HELD = 3
"""How often a task holds what it reads: as it came, put together, and as it is compared or sent."""
PAIR_BYTES = 64
"""What the process that joins pairs holds for each row of the dataset, were all of them alike to some other."""
FIRST_BANDS = 4
"""Of the first wave: they join almost all copies, so that the others need not be asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicates:
    """The settings of a decision."""

    threshold: float
    num_perm: int
    seed: int
    partition_bytes: int = PARTITION_BYTES

    def sketches(self, batch: pa.Table, content: ContentColumns) -> Iterator[RowSketches]:
        """Those of a part's rows, some after the others."""
        return sketch_pieces(batch, content=content, num_perm=self.num_perm, seed=self.seed)

    def sent(self, number: int, batch: pa.Table, sketches: Iterable[RowSketches]) -> Sent:
        """What a part with these sketches keeps for the steps."""
        return part_sent(number, sketch_table(batch, sketches))

    def decide(self, notes: Sequence[PartNote], exchange: TableExchange, *, known: KnownRows | None = None) -> None:
        """Run all steps; the parts are then told in the channels NEAR_DUPLICATES and INCOMPLETE which rows to drop.

        Known rows came first: whatever is alike to one goes. What stays joins them.
        """
        if known is None:
            self._tell_survivors(notes, exchange, num_new=len(notes))
            return
        send = SendKnown(known=known, first=len(notes))
        found = exchange.run(send, num_tasks=known.num_parts, task_bytes=COPIES_HELD * known.part_bytes)
        everything = [*notes, *(note for note in found if isinstance(note, PartNote))]
        self._tell_survivors(everything, exchange, num_new=len(notes))
        part_bytes = max((note.num_bytes for note in notes), default=0)
        keep = KeepSurvivors(known=known)
        known.close(exchange.run(keep, num_tasks=len(notes), task_bytes=COPIES_HELD * part_bytes))

    def _tell_survivors(self, notes: Sequence[PartNote], exchange: TableExchange, *, num_new: int) -> None:
        plan = self._plan(notes, exchange)
        if plan.num_rows:
            plan.tell_survivors(first_known=int(plan.layout.starts[num_new]))

    def groups(self, notes: Sequence[PartNote], exchange: TableExchange) -> Int64:
        """The lowest row of each row's group, int64 [N], over all parts: what `group_rows` says."""
        plan = self._plan(notes, exchange)
        groups = np.arange(plan.num_rows, dtype=np.int64)
        for rows, labels in plan.labels() if plan.num_rows else ():
            groups[rows] = labels
        return groups

    def _plan(self, notes: Sequence[PartNote], exchange: TableExchange) -> _Plan:
        num_bytes = sum(note.num_bytes for note in notes)
        starts = np.cumsum([0, *(note.num_rows for note in notes)])
        layout = RowLayout(starts=starts, num_partitions=self._num_partitions(num_bytes))
        return _Plan(settings=self, notes=notes, exchange=exchange, layout=layout, num_bytes=num_bytes)

    def _num_partitions(self, num_bytes: int) -> int:
        wanted = min(-(-num_bytes // self.partition_bytes), MANY_PARTITIONS)
        return max(1, wanted, -(-num_bytes // max(MAX_PARTITION_BYTES, self.partition_bytes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    settings: NearDuplicates
    notes: Sequence[PartNote]
    exchange: TableExchange
    layout: RowLayout
    num_bytes: int

    @property
    def num_rows(self) -> int:
        return int(self.layout.starts[-1])

    def tell_survivors(self, *, first_known: int) -> None:
        """Each part is told which of its rows go; of known rows, which come last, it means nothing."""
        rule, num_tasks = self._clusters(asks_for_incomplete=any(note.num_incomplete for note in self.notes))
        self._over_clusters(ChooseSurvivors(layout=self.layout, rule=rule, first_known=first_known), num_tasks)

    def labels(self) -> list[tuple[Int64, Int64]]:
        """Rows in company with their groups."""
        rule, num_tasks = self._clusters(asks_for_incomplete=False)
        return self._over_clusters(LabelGroups(rule=rule), num_tasks)

    def _clusters(self, *, asks_for_incomplete: bool) -> tuple[ClusterRule, int]:
        """Brings the rows of each cluster to a task; the rule for them, and how many tasks there are."""
        layout, settings = self.layout, self.settings
        common = self._common_systems()
        self._over_parts(SendKeys(layout=layout, common=common, has_incomplete=asks_for_incomplete))
        self._over_partitions(FindCopies(layout=layout))
        for wave in self._waves():
            self._compare(wave)
        pack = PackClusters(
            layout=layout,
            row_bytes=self.num_bytes // self.num_rows,
            task_bytes=settings.partition_bytes,
        )
        (num_tasks,) = self._alone(pack)
        self._over_parts(ShipClusters(layout=layout))
        rule = ClusterRule(
            threshold=settings.threshold,
            seed=settings.seed,
            common=common,
            bytes_at_once=max(1, settings.partition_bytes // PIECES),
        )
        return rule, num_tasks

    def _over_clusters(self, step: Step, num_tasks: int) -> list[Any]:
        return self.exchange.run(step, num_tasks=num_tasks, task_bytes=self.settings.partition_bytes)

    def _common_systems(self) -> UInt64:
        """The system prompt that more than half of all rows have: it has more than half of some part."""
        candidates = {note.system for note in self.notes} - {np.uint64(0)}
        counts = {system: sum(self._over_parts(CountSystem(system=system))) for system in sorted(candidates)}
        return np.array([system for system, count in counts.items() if count * 2 > self.num_rows], dtype=np.uint64)

    def _waves(self) -> Iterator[Wave]:
        """Where all rows meet in one partition, nothing is asked for twice, and one wave is enough."""
        num_bands = self.settings.num_perm // band_size(self.settings.threshold, self.settings.num_perm)
        cuts = [0, num_bands] if self.layout.num_partitions == 1 else [0, min(FIRST_BANDS, num_bands), num_bands]
        for first, end in pairwise(sorted(set(cuts))):
            settings = self.settings
            yield Wave(
                layout=self.layout, threshold=settings.threshold, num_perm=settings.num_perm, first=first, end=end
            )

    def _compare(self, wave: Wave) -> None:
        if wave.first:
            self._alone(JoinPairs(layout=self.layout))
        self._over_parts(SendBands(wave=wave))
        if any(self._over_partitions(FindCompany(wave=wave))):
            self._over_parts(CountCrowd(wave=wave))
            (slots,) = self._alone(SumCrowd(wave=wave))
            self._over_parts(SendTokens(wave=wave, slots=slots))
            self._over_partitions(FindTokenCompany(wave=wave))
        self._over_parts(ShipSketches(wave=wave))
        self._over_partitions(ComparePairs(wave=wave))

    def _over_parts(self, step: Step) -> list[Any]:
        part_bytes = max(note.num_bytes for note in self.notes)
        return self.exchange.run(step, num_tasks=self.layout.num_parts, task_bytes=COPIES_HELD * part_bytes)

    def _over_partitions(self, step: Step) -> list[Any]:
        partition_bytes = self.num_bytes // self.layout.num_partitions
        return self.exchange.run(step, num_tasks=self.layout.num_partitions, task_bytes=COPIES_HELD * partition_bytes)

    def _alone(self, step: Step) -> list[Any]:
        return self.exchange.run(step, num_tasks=1, task_bytes=PAIR_BYTES * self.num_rows)
