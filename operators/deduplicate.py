"""Keeps one row of every group of near-duplicates.

Knows which rows count as copies and which copy survives; how alike texts are found is in
`operators/near_duplicates.py`.
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

from operators.base import Decision, Needs, Operator, Resources, Scope, keep_rows
from operators.near_duplicates import TextSketches, group_sketches, merge_sketches, sketch_texts
from operators.record import is_complete
from operators.text import Int64, UInt64, normalise, text_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSketches:
    """What the decision needs of N rows; keys are 0 where the text is missing."""

    ids: pa.Array
    texts: TextSketches
    lengths: Int64
    complete: npt.NDArray[np.bool_]
    histories: UInt64
    questions: UInt64
    answers: UInt64


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Ids of the rows that go."""

    near_duplicates: pa.Array
    incomplete: pa.Array


class Deduplicate(Operator):
    """Drops near-duplicates: rows with the same history whose question and answer together are alike.

    Alike means a Jaccard similarity of shingles of at least `threshold`, after Unicode and punctuation are evened out;
    groups are transitive. The complete row survives before the incomplete one, then the longer, then the lower id.
    A row without an answer also goes (`incomplete_copy`) when a complete row asks exactly the same after the same
    history, and one without a question when a complete row gives exactly the same answer there: to fill it would only
    make another copy. Such a row never joins two groups.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    scope: ClassVar[Scope] = Scope.DATASET
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["deduplicate"] = "deduplicate"
    threshold: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity from which on rows are alike."""
    num_perm: int = Field(default=128, ge=16, le=1024)
    """Hash functions of a MinHash sketch, which finds the pairs that are then compared exactly."""

    def build(self, resources: Resources) -> Deduplication:
        return Deduplication(threshold=self.threshold, num_perm=self.num_perm, seed=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplication:
    """The three parts of the operator."""

    threshold: float
    num_perm: int
    seed: int

    def sketch(self, batch: pa.Table) -> RowSketches:
        question, answer = (batch[name].combine_chunks().cast(pa.large_string()) for name in ("question", "answer"))
        texts = _joined(question, answer)
        return RowSketches(
            ids=batch["id"].combine_chunks().cast(pa.large_string()),
            texts=sketch_texts(texts, num_perm=self.num_perm, seed=self.seed),
            lengths=pc.utf8_length(normalise(texts)).to_numpy(zero_copy_only=False).astype(np.int64),
            complete=is_complete(batch).to_numpy(zero_copy_only=False),
            histories=_keys(_flat_histories(batch["history"].combine_chunks())),
            questions=_keys(question),
            answers=_keys(answer),
        )

    def decide(self, sketches: Sequence[object]) -> Decision:
        parts = [part for part in sketches if isinstance(part, RowSketches)]
        if not parts:
            return Decision(state=Copies(near_duplicates=_no_ids(), incomplete=_no_ids()))
        rows = _merge(parts)
        _, labels = np.unique(
            np.stack([group_sketches(rows.texts, self.threshold).astype(np.uint64), rows.histories]),
            axis=1,
            return_inverse=True,
        )
        ranks = pc.rank(rows.ids, tiebreaker="first").to_numpy()
        order = np.lexsort((ranks, -rows.lengths, ~rows.complete, labels))
        survivors = np.zeros(len(labels), dtype=bool)
        survivors[order[np.flatnonzero(np.diff(labels[order], prepend=-1))]] = True
        redundant = survivors & (
            _is_asked_elsewhere(rows, rows.questions, rows.answers)
            | _is_asked_elsewhere(rows, rows.answers, rows.questions)
        )
        return Decision(
            state=Copies(
                near_duplicates=rows.ids.filter(pa.array(~survivors)).sort(),
                incomplete=rows.ids.filter(pa.array(redundant)).sort(),
            )
        )

    def apply(self, batch: pa.Table, decision: Decision) -> pa.Table:
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


def _is_asked_elsewhere(rows: RowSketches, present: UInt64, missing: UInt64) -> npt.NDArray[np.bool_]:
    """Mask of incomplete rows whose present field, after the same history, some complete row has as well."""
    pairs = np.stack([present, rows.histories], axis=1).view("u8,u8").ravel()
    known: npt.NDArray[np.bool_] = np.isin(pairs, pairs[rows.complete])
    redundant: npt.NDArray[np.bool_] = known & ~rows.complete & (present != 0) & (missing == 0)
    return redundant


def _keys(texts: pa.Array) -> UInt64:
    return text_keys(texts, normalise(texts))


def _flat_histories(history: pa.Array) -> pa.Array:
    """All turns of each row as one text."""
    turns = history.flatten()
    lines = _joined(turns.field("role"), turns.field("content"))
    lengths = pc.fill_null(pc.list_value_length(history), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, lines), "\n").cast(pa.large_string())


def _joined(first: pa.Array, second: pa.Array) -> pa.Array:
    """Both texts of each row, a null one as empty: Arrow's `null_handling="skip"` loses rows where both are null."""
    return pc.binary_join_element_wise(pc.fill_null(first, ""), pc.fill_null(second, ""), pa.scalar("\n", first.type))


def _merge(parts: Sequence[RowSketches]) -> RowSketches:
    return RowSketches(
        ids=pa.concat_arrays([part.ids for part in parts]),
        texts=merge_sketches([part.texts for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
        complete=np.concatenate([part.complete for part in parts]),
        histories=np.concatenate([part.histories for part in parts]),
        questions=np.concatenate([part.questions for part in parts]),
        answers=np.concatenate([part.answers for part in parts]),
    )


def _no_ids() -> pa.Array:
    return pa.array([], pa.large_string())
