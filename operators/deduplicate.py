"""Keeps one row of every group of near-duplicates.

Knows which copy survives; which rows are copies says the one rule of `operators/likeness/row_likeness.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from operators.contract.counts import Transformed, keep_rows
from operators.contract.operator import DatasetOperator, Decision, Needs
from operators.contract.resources import Language, Resources
from operators.likeness.row_likeness import group_rows, lacks_what_another_has
from operators.likeness.row_sketches import RowSketches, merge_rows, sketch_rows
from operators.rows.content_columns import ContentColumns
from operators.rows.record import is_complete


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What the decision needs of N rows."""

    ids: pa.Array
    rows: RowSketches
    complete: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Ids of the rows that go."""

    near_duplicates: pa.Array
    incomplete: pa.Array


class Deduplicate(DatasetOperator):
    """Drops near-duplicates: rows of which everything that carries content is alike.

    That is the turns before the question, the question, the answer, tool calls and other keys of turns, and the content
    columns (`dataset.content_columns`), each for itself; text that many rows share does not make rows alike, and
    numbers, negations and short parts must be the same. Groups are transitive. The complete row survives before the
    incomplete one, then the longer, then the lower id. A row without an answer also goes (`incomplete_copy`) when a
    complete row asks exactly the same in the same context, and one without a question when a complete row gives exactly
    the same answer there: to fill it would only make another copy. Such a row never joins two groups.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(content_columns=True)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["deduplicate"] = "deduplicate"
    threshold: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity from which on long parts of rows are alike."""
    num_perm: int = Field(default=128, ge=16, le=1024)
    """Hash functions of a MinHash sketch, which finds the pairs that are then compared exactly."""

    def summary(self, language: Language) -> str:
        return "drops near-duplicate rows" if language == "en" else "删除近似重复的样本"

    def build(self, resources: Resources) -> Deduplication:
        return Deduplication(
            threshold=self.threshold,
            num_perm=self.num_perm,
            seed=self.seed,
            content_columns=resources.content_columns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplication:
    """The three parts of the operator."""

    threshold: float
    num_perm: int
    seed: int
    content_columns: ContentColumns

    def sketch(self, batch: pa.Table) -> Sketch:
        return Sketch(
            ids=batch["id"].combine_chunks().cast(pa.large_string()),
            rows=sketch_rows(batch, content=self.content_columns, num_perm=self.num_perm, seed=self.seed),
            complete=is_complete(batch).to_numpy(zero_copy_only=False),
        )

    def decide(self, sketches: Sequence[object]) -> Decision:
        parts = [part for part in sketches if isinstance(part, Sketch)]
        if not parts:
            return Decision(state=Copies(near_duplicates=_no_ids(), incomplete=_no_ids()))
        ids = pa.concat_arrays([part.ids for part in parts])
        rows = merge_rows([part.rows for part in parts])
        complete = np.concatenate([part.complete for part in parts])
        labels = group_rows(rows, self.threshold, seed=self.seed)
        ranks = pc.rank(ids, tiebreaker="first").to_numpy()
        order = np.lexsort((ranks, -rows.lengths, ~complete, labels))
        survivors = np.zeros(len(labels), dtype=bool)
        survivors[order[np.flatnonzero(np.diff(labels[order], prepend=-1))]] = True
        redundant = survivors & lacks_what_another_has(rows, of=complete, rows_in_question=~complete)
        return Decision(
            state=Copies(
                near_duplicates=ids.filter(pa.array(~survivors)).sort(),
                incomplete=ids.filter(pa.array(redundant)).sort(),
            )
        )

    def apply(self, batch: pa.Table, decision: Decision) -> Transformed:
        copies = decision.state
        if not isinstance(copies, Copies):
            raise TypeError(
                f"deduplicate got a decision of {type(copies).__name__}; give it what its own decide returned"
            )
        ids = batch["id"].combine_chunks().cast(pa.large_string())
        drops = {"near_duplicate": copies.near_duplicates, "incomplete_copy": copies.incomplete}
        return keep_rows(
            batch,
            {reason: pc.is_in(ids, value_set=gone).to_numpy(zero_copy_only=False) for reason, gone in drops.items()},
        )


def _no_ids() -> pa.Array:
    return pa.array([], pa.large_string())
