"""Keeps one row of every group of near-duplicates.

Knows which copy survives; which rows are copies says the one rule of `operators/likeness/row_likeness.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from operators.contract.counts import Transformed, keep_rows
from operators.contract.exchange import Inbox, Sent, TableExchange
from operators.contract.operator import Needs, PartitionedOperator
from operators.contract.resources import KnownRows, Language, Resources
from operators.likeness.partitioned.cluster_steps import NEAR_DUPLICATES
from operators.likeness.partitioned.copy_steps import INCOMPLETE
from operators.likeness.partitioned.near_duplicates import NearDuplicates
from operators.likeness.partitioned.part_sketches import PartNote
from operators.likeness.sketch_mark import sketch_mark
from operators.rows.content_columns import ContentColumns


class Deduplicate(PartitionedOperator):
    """Drops near-duplicates: rows of which everything that carries content is alike.

    That is the turns before the question, the question, the answer, tool calls and other keys of turns, and the content
    columns (`dataset.content_columns`), each for itself; text that many rows share does not make rows alike, and
    numbers, negations and short parts must be the same. Groups are transitive. The complete row survives before the
    incomplete one, then the longer, then the lower id. A row without an answer also goes (`incomplete_copy`) when a
    complete row asks exactly the same in the same context, and one without a question when a complete row gives exactly
    the same answer there: to fill it would only make another copy. Such a row never joins two groups.
    """

    version: ClassVar[int] = 6
    needs: ClassVar[Needs] = Needs(content_columns=True, known_rows=True)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["deduplicate"] = "deduplicate"
    threshold: float = Field(default=0.8, gt=0, le=1)
    """The Jaccard similarity from which on long parts of rows are alike."""
    num_perm: int = Field(default=128, ge=16, le=1024)
    """How many hash functions a MinHash sketch has; it finds the pairs that are then compared exactly."""

    def summary(self, language: Language) -> str:
        return "drops near-duplicate rows" if language == "en" else "删除近似重复的样本"

    def build(self, resources: Resources) -> Deduplication:
        found = NearDuplicates(threshold=self.threshold, num_perm=self.num_perm, seed=self.seed)
        return Deduplication(found=found, content_columns=resources.content_columns, known=resources.known_rows)

    def known_by(self, resources: Resources) -> Mapping[str, object]:
        columns = resources.content_columns
        return {
            **self.model_dump(mode="json"),
            "version": self.version,
            "content_columns": columns if columns == "auto" else sorted(columns),
            "sketches": sketch_mark(num_perm=self.num_perm, seed=self.seed),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplication:
    """The three parts of the operator."""

    found: NearDuplicates
    content_columns: ContentColumns
    known: KnownRows | None = None
    """Their copies go, whatever is longer or complete; they themselves are somebody else's."""
    decision: tuple[str, ...] = (NEAR_DUPLICATES, INCOMPLETE)

    def sketch(self, number: int, batch: pa.Table) -> Sent:
        return self.found.sent(number, batch, self.found.sketches(batch, self.content_columns))

    def decide(self, notes: Sequence[object], exchange: TableExchange) -> None:
        self.found.decide([note for note in notes if isinstance(note, PartNote)], exchange, known=self.known)

    def apply(self, batch: pa.Table, inbox: Inbox) -> Transformed:
        drops = {"near_duplicate": NEAR_DUPLICATES, "incomplete_copy": INCOMPLETE}
        masks = {reason: np.zeros(batch.num_rows, dtype=bool) for reason in drops}
        for reason, channel in drops.items():
            for told in inbox.tables(channel):
                masks[reason][told["place"].to_numpy()] = True
        return keep_rows(batch, masks)
