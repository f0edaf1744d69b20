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

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from operators.likeness.hashed_sets import HashedSets
from operators.likeness.near_duplicates import Candidates, label_groups, stand_ins
from operators.likeness.row_sketches import RowSketches, sign
from operators.likeness.shared_text import OwnText, own_text, template_rows
from operators.likeness.telling_words import by_kind
from operators.texts.text import MULTIPLIER, Int64, UInt32, UInt64, scramble

DEFAULT_THRESHOLD = 0.8

Bool = npt.NDArray[np.bool_]


def group_rows(rows: RowSketches, threshold: float = DEFAULT_THRESHOLD, *, seed: int = 0) -> Int64:
    """Group label of every row as int64 [N]: the lowest row index of its group. `seed` is that of the sketches."""
    systems = told_systems(rows.systems, common_systems(rows.systems))
    keys = told_keys(rows.keys, systems)
    sets = (rows.before, rows.answer)
    sizes = rows.before.sizes + rows.answer.sizes
    anywhere = Candidates(signatures=rows.signatures, sizes=sizes, frames=np.zeros_like(keys), sets=sets)
    clusters = label_groups(keys, anywhere, WholeRule(sets=sets, threshold=threshold), variants=rows.variants)
    return groups_in_clusters(rows, clusters, threshold, systems=systems, seed=seed)


def groups_in_clusters(rows: RowSketches, clusters: Int64, threshold: float, *, systems: UInt64, seed: int) -> Int64:
    """The same for rows whose clusters are known: the groups [N] of the `WholeRule`, each whole or not there.

    `clusters` are numbers below 2^32, `systems` the keys of the system prompts that count.
    """
    keys = told_keys(rows.keys, systems)
    distinct, _ = stand_ins(keys, rows.variants)
    reduced = np.zeros(len(rows), dtype=bool)
    parts = (rows.before.take(distinct), rows.answer.take(distinct))
    reduced[distinct] = template_rows(parts, clusters[distinct])
    before, answer = (own_text(part, clusters, reduced) for part in (rows.before, rows.answer))
    words = (*by_kind(rows.answer_words), rows.before_words)
    candidates = Candidates(
        signatures=_signed_anew(rows.signatures, before, answer, seed=seed),
        sizes=before.own.sizes + answer.own.sizes,
        frames=rows.frames + scramble(systems) + scramble(clusters.astype(np.uint64)) + _filled(before, answer),
        sets=(before.own, answer.own),
        alike_in_each=True,
        contained=words,
    )
    rule = RowRule(words=words, before=before, answer=answer, threshold=threshold)
    return label_groups(keys, candidates, rule, variants=rows.variants)


def _signed_anew(signatures: UInt32, before: OwnText, answer: OwnText, *, seed: int) -> UInt32:
    """The signatures of what counts: those of the reduced rows are of their own text."""
    places = np.flatnonzero(before.reduced)
    if len(places) == 0:
        return signatures
    own = (part.own.take(places) for part in (before, answer))
    changed = signatures.copy()
    changed[places] = sign(*own, num_perm=signatures.shape[1], seed=seed)
    return changed


def _filled(before: OwnText, answer: OwnText) -> UInt64:
    """A number for which parts have text of their own [N]: those of alike rows are the same."""
    kinds = (before.own.sizes > 0) + 2 * (answer.own.sizes > 0)
    return scramble(kinds.astype(np.uint64) * MULTIPLIER)


def common_systems(systems: UInt64) -> UInt64:
    """The keys of the system prompts that more than half of the rows have: one, or none."""
    prompts, counts = np.unique(systems, return_counts=True)
    common: UInt64 = prompts[counts * 2 > len(systems)]
    return common


def told_systems(systems: UInt64, common: UInt64) -> UInt64:
    """Keys of the system prompts that count [N]; 0 for a common one."""
    return np.where(np.isin(systems, common), np.uint64(0), systems)


def told_keys(keys: UInt64, systems: UInt64) -> UInt64:
    """Keys that are equal for exact copies under system prompts that count [N]; 0 where there is nothing."""
    return np.where(keys, scramble(keys + systems * MULTIPLIER) | np.uint64(1), np.uint64(0))


def told_contexts(contexts: UInt64, systems: UInt64) -> UInt64:
    """Keys of what stands around question and answer, with the system prompts that count [N]."""
    return scramble(contexts + systems * MULTIPLIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidKeys:
    """What N rows say, each part as a number; 0 where there is nothing."""

    systems: UInt64
    contexts: UInt64
    questions: UInt64
    answers: UInt64

    @classmethod
    def of(cls, rows: RowSketches) -> SaidKeys:
        return cls(systems=rows.systems, contexts=rows.contexts, questions=rows.questions, answers=rows.answers)

    @classmethod
    def merged(cls, parts: Sequence[SaidKeys]) -> SaidKeys:
        """Those of several parts, in the order given."""
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )


def lacks_what_another_has(rows: SaidKeys, *, of: Bool, rows_in_question: Bool) -> Bool:
    """Mask of the rows in question that lack question or answer and share the other one with one of the rows `of`.

    After the same turns and beside the same content columns; texts are compared whole, as they are normalised.
    """
    contexts = told_contexts(rows.contexts, told_systems(rows.systems, common_systems(rows.systems)))
    found = np.zeros(len(rows.systems), dtype=bool)
    for present, missing in ((rows.questions, rows.answers), (rows.answers, rows.questions)):
        asked = np.flatnonzero(rows_in_question & (present != 0) & (missing == 0))
        others = np.flatnonzero(of)
        others = others[np.isin(present[others], present[asked])]
        pairs = np.stack([present, contexts], axis=1).view("u8,u8").ravel()
        found[asked] |= np.isin(pairs[asked], pairs[others])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRule:
    """Rows whose long parts, taken together, are similar: what rows that are alike in each part also are."""

    sets: tuple[HashedSets, HashedSets]
    """The shingles before the answer, and the answer's."""
    threshold: float

    def __call__(self, left: Int64, right: Int64) -> Bool:
        shared = np.zeros(len(left), dtype=np.int64)
        sizes = np.zeros(len(left), dtype=np.int64)
        for part in self.sets:
            shared += part.num_shared(left, right)
            sizes += part.sizes_of(left) + part.sizes_of(right)
        found: Bool = shared >= self.threshold * (sizes - shared)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule:
    """The rule for rows of one frame, whose short parts and further keys are equal."""

    words: Sequence[HashedSets]
    """Of each of them one of two alike rows has all that the other has."""
    before: OwnText
    answer: OwnText
    threshold: float

    def __call__(self, left: Int64, right: Int64) -> Bool:
        alike = np.ones(len(left), dtype=bool)
        for sets in (*self.words, self.before.shared, self.answer.shared):
            alike[alike] = _is_none_replaced(sets, left[alike], right[alike])
        for part in (self.before, self.answer):
            alike[alike] = self._reaches(part, left[alike], right[alike])
        return alike

    def _reaches(self, part: OwnText, left: Int64, right: Int64) -> Bool:
        """Mask of the pairs whose own text is similar enough; without any, all that is shared must be equal."""
        num_shared, sizes = part.own.num_shared(left, right), part.own.sizes_of(left) + part.own.sizes_of(right)
        found: Bool = num_shared >= self.threshold * (sizes - num_shared)
        is_bare = sizes == 0
        left_sizes, right_sizes = part.shared.sizes_of(left), part.shared.sizes_of(right)
        same = (left_sizes == right_sizes) & (part.shared.num_shared(left, right) == left_sizes)
        return np.where(is_bare, same, found)


def _is_none_replaced(words: HashedSets, left: Int64, right: Int64) -> Bool:
    """Mask of the pairs of which one has all the words of the other."""
    found: Bool = words.num_shared(left, right) == np.minimum(words.sizes_of(left), words.sizes_of(right))
    return found
