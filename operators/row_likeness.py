"""When two rows are near-duplicates: the one rule for `deduplicate`, splits, samples and screeners.

Two rows are near-duplicates if *everything* that carries content is alike: the turns before the question, the question,
the answer, the further keys of turns, the content columns. Each counts for itself:

- Exact copies, after Unicode, case, spacing and sentence punctuation are evened out, always join. Ids never count.
- Short parts, turns' keys and content columns must be equal. A system prompt must be, too, unless more than half of
  all rows have it: then it counts for nothing.
- Long parts must reach the Jaccard similarity of shingles; what many rows share is left out (shared_text.py).
- Long parts must hold the same numbers and as many negations, and none of their names, units or opposites may be
  replaced (telling_words.py). Before the answer no word at all may be replaced by another: there it is what is asked.

Groups are the transitive closure. They depend on no order and no cut of the rows. Another row changes the groups of the
others only where it joins two of them, or where it makes a text one of those that many rows share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.hashed_sets import HashedSets
from operators.near_duplicates import AlikeRule, Candidates, jaccard, label_groups
from operators.row_sketches import RowSketches, sign
from operators.shared_text import OwnText, own_text
from operators.text import MULTIPLIER, Int64, UInt64, scramble

DEFAULT_THRESHOLD = 0.8

Bool = npt.NDArray[np.bool_]


def group_rows(rows: RowSketches, threshold: float = DEFAULT_THRESHOLD, *, seed: int = 0) -> Int64:
    """Group label of every row as int64 [N]: the lowest row index of its group. `seed` is that of the sketches."""
    systems = told_systems(rows)
    keys = np.where(rows.keys, scramble(rows.keys + systems * MULTIPLIER) | np.uint64(1), np.uint64(0))
    _, distinct = np.unique(keys, return_index=True)
    before, answer = own_text(rows.before, distinct), own_text(rows.answer, distinct)
    rule = RowRule(rows=rows, before=before, answer=answer, threshold=threshold)
    return label_groups(keys, _candidates(rows, systems, before, answer, seed=seed), rule)


def told_systems(rows: RowSketches) -> UInt64:
    """Keys of the system prompts [N]; 0 for one that more than half of the rows have."""
    prompts, counts = np.unique(rows.systems, return_counts=True)
    common = prompts[counts * 2 > len(rows)]
    return np.where(np.isin(rows.systems, common), np.uint64(0), rows.systems)


def lacks_what_another_has(rows: RowSketches, *, of: Bool, rows_in_question: Bool) -> Bool:
    """Mask of the rows in question that lack question or answer and share the other one with one of the rows `of`.

    After the same turns and beside the same content columns; texts are compared whole, as they are normalised.
    """
    contexts = scramble(rows.contexts + told_systems(rows) * MULTIPLIER)
    found = np.zeros(len(rows), dtype=bool)
    for present, missing in ((rows.questions, rows.answers), (rows.answers, rows.questions)):
        pairs = np.stack([present, contexts], axis=1).view("u8,u8").ravel()
        found |= np.isin(pairs, pairs[of]) & rows_in_question & (present != 0) & (missing == 0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule(AlikeRule):
    """The rule for rows of one frame, whose short parts and further keys are equal."""

    rows: RowSketches
    before: OwnText
    answer: OwnText
    threshold: float

    def __call__(self, left: Int64, right: Int64) -> Bool:
        alike = self._reaches(self.rows.answer, self.answer, left, right)
        for words in (self.rows.answer_words, self.rows.before_words):
            alike[alike] = _is_none_replaced(words, left[alike], right[alike])
        alike[alike] = self._reaches(self.rows.before, self.before, left[alike], right[alike])
        return alike

    def _reaches(self, sets: HashedSets, own: OwnText, left: Int64, right: Int64) -> Bool:
        """Mask of the pairs whose long parts, of which both have one or none, are similar enough."""
        sizes = sets.sizes
        alike: Bool = (sizes[left] == 0) & (sizes[right] == 0)
        reduced = own.reduced[left] | own.reduced[right]
        for pairs, compared in ((~alike & ~reduced, sets), (~alike & reduced, own.sets)):
            alike[pairs] = jaccard(compared, left[pairs], right[pairs]) >= self.threshold
        rest = np.flatnonzero(~alike & reduced)
        alike[rest] = jaccard(sets, left[rest], right[rest]) == 1
        return alike


def _is_none_replaced(words: HashedSets, left: Int64, right: Int64) -> Bool:
    """Mask of the pairs of which one has all the words of the other."""
    found: Bool = words.num_shared(left, right) == np.minimum(words.sizes[left], words.sizes[right])
    return found


def _candidates(rows: RowSketches, systems: UInt64, before: OwnText, answer: OwnText, *, seed: int) -> Candidates:
    """By the shingles that count: those of rows with shared text are signed anew."""
    signatures = rows.signatures
    sizes = rows.before.sizes + rows.answer.sizes
    reduced = np.flatnonzero(before.reduced | answer.reduced)
    if len(reduced):
        parts = [own.counted.take(reduced) for own in (before, answer)]
        signatures = signatures.copy()
        signatures[reduced] = sign(*parts, num_perm=signatures.shape[1], seed=seed)
        sizes[reduced] = sum(part.sizes for part in parts)
    return Candidates(signatures=signatures, sizes=sizes, frames=rows.frames + scramble(systems))
