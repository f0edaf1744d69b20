"""Clusters of rows that are alike as wholes, and which of their rows go.

Clusters are the connected components of the pairs, found in one process that holds 16 bytes for a pair: rows that are
alike to no other take no part. Then whole clusters come to a process, many small ones to one, with their sketches; the
rule itself (row_likeness.py) groups their rows. One cluster must fit into a process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.contract.exchange import Inbox, Sent
from operators.likeness.partitioned.copy_steps import COPY_PAIRS
from operators.likeness.partitioned.pair_steps import ALIKE_PAIRS, LABELS
from operators.likeness.partitioned.tables import (
    BAGS,
    HEADS,
    NUMBERS,
    SETS,
    SIGNATURES,
    RowLayout,
    addressed,
    numbers,
    read,
    sketches_of,
    table_of,
)
from operators.likeness.row_likeness import groups_in_clusters, told_systems
from operators.texts.text import Int64, UInt64

NEAR_DUPLICATES = "near_duplicates"
"""Where the rows that go stand in their part."""
_MEMBERS, _RIVALS, _SKETCHES = "members", "rivals", "cluster_sketches"
HEAD_BYTES = 64
"""Of a row that is an exact copy, or has no other beside those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinPairs:
    """The labels of all rows that some pair joins, sent to their parts: the lowest row of the component."""

    layout: RowLayout
    reads: tuple[str, ...] = (ALIKE_PAIRS,)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        rows, labels = components(*_pairs(inbox, ALIKE_PAIRS, "other"))
        return Sent(channels={LABELS: self.layout.by_part(table_of({"row": rows, "label": labels}))})


@dataclass(frozen=True, slots=True, kw_only=True)
class PackClusters:
    """Clusters shared out to tasks of about equal size; the note is how many tasks there are.

    A cluster of nothing but exact copies is a group as it is: its sketches are not needed.
    """

    layout: RowLayout
    row_bytes: int
    """Of a row's sketches."""
    task_bytes: int
    reads: tuple[str, ...] = (ALIKE_PAIRS, COPY_PAIRS)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        copies, firsts = _pairs(inbox, COPY_PAIRS, "first")
        left, right = _pairs(inbox, ALIKE_PAIRS, "other")
        rows, labels = components(np.concatenate([left, copies]), np.concatenate([right, firsts]))
        _, clusters = np.unique(labels, return_inverse=True)
        stands_for = rows.copy()
        stands_for[np.searchsorted(rows, copies)] = firsts
        distinct = stands_for == rows
        is_open = (np.bincount(clusters, weights=distinct) > 1)[clusters]
        weights = np.bincount(clusters, weights=HEAD_BYTES + self.row_bytes * (distinct & is_open))
        tasks = np.unique(((np.cumsum(weights) - weights) // self.task_bytes).astype(np.int64), return_inverse=True)[1]
        members = {"row": rows, "cluster": clusters, "first": stands_for, "task": tasks[clusters]}
        members["has_sketch"] = distinct & is_open
        sent = self.layout.by_part(table_of(members))
        return Sent(channels={_MEMBERS: sent}, note=int(tasks.max(initial=-1)) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipClusters:
    """What the tasks need of a part's rows."""

    layout: RowLayout
    reads: tuple[str, ...] = (HEADS, SIGNATURES, SETS, _MEMBERS)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        members = read(inbox, _MEMBERS)
        heads, signed, sets = (read(inbox, channel) for channel in (HEADS, SIGNATURES, SETS))
        if members is None or heads is None or signed is None or sets is None:
            return Sent(channels={})
        tasks = numbers(members, "task")
        places = pa.array(self.layout.places(number, numbers(members, "row")))
        rivals = members.select(["row", "first"])
        for name in ("complete", "lengths", "id"):
            rivals = rivals.append_column(name, heads[name].take(places))
        chosen = numbers(members, "has_sketch")
        sketched, places = members.select(["row", "cluster"]).filter(pa.array(chosen)), places.filter(pa.array(chosen))
        for name, source in [(name, heads) for name in NUMBERS] + [(name, sets) for name in BAGS]:
            sketched = sketched.append_column(name, source[name].take(places))
        sketched = sketched.append_column("signatures", signed["signatures"].take(places))
        return Sent(channels={_RIVALS: addressed(rivals, tasks), _SKETCHES: addressed(sketched, tasks[chosen])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRule:
    """The rule of row_likeness.py on the rows of whole clusters."""

    threshold: float
    seed: int
    common: UInt64
    """Keys of the system prompts that do not count."""
    bytes_at_once: int
    """Of sketches: what is made of them in between is many times as large, so few clusters are grouped together."""

    def groups(self, sketched: pa.Table | None, firsts: Int64) -> Int64:
        """A number for each row's group; `firsts` [N] are the rows that stand for the rows."""
        if sketched is None:
            return firsts
        rows = sketches_of(sketched)
        _, clusters = np.unique(numbers(sketched, "cluster"), return_inverse=True)
        labels = np.arange(len(rows))
        for some in self._pieces(rows.row_bytes, clusters):
            few = rows.take(some)
            systems = told_systems(few.systems, self.common)
            found = groups_in_clusters(few, clusters[some], self.threshold, systems=systems, seed=self.seed)
            labels[some] = some[found]
        known = numbers(sketched, "row")
        order = np.argsort(known)
        at = order[np.searchsorted(known, firsts, sorter=order) % len(known)]
        return np.where(known[at] == firsts, known[labels[at]], firsts)

    def _pieces(self, row_bytes: Int64, clusters: Int64) -> Iterator[Int64]:
        """The rows of whole clusters, about so many bytes at a time."""
        sizes = np.bincount(clusters, weights=row_bytes)
        pieces = ((np.cumsum(sizes) - sizes) // self.bytes_at_once)[clusters]
        order = np.argsort(pieces, kind="stable")
        return iter(np.split(order, np.flatnonzero(np.diff(pieces[order])) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseSurvivors:
    """Of every group one row stays: a known one, else the complete one, then the longer, then the lower id."""

    layout: RowLayout
    rule: ClusterRule
    first_known: int
    """The number of the first row that is known: it and those after it were kept before."""
    reads: tuple[str, ...] = (_RIVALS, _SKETCHES)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        rivals = read(inbox, _RIVALS)
        if rivals is None:
            return Sent(channels={})
        groups = self.rule.groups(read(inbox, _SKETCHES), numbers(rivals, "first"))
        rows, complete, lengths = (numbers(rivals, name) for name in ("row", "complete", "lengths"))
        known = rows >= self.first_known
        survivors = best_rows(groups, known=known, complete=complete, lengths=lengths, ids=rivals["id"])
        gone = np.sort(rows[~survivors])
        return Sent(channels={NEAR_DUPLICATES: self.layout.by_place(gone)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelGroups:
    """The note is the rows that are in company, and the lowest row of each one's group: 16 bytes a row."""

    rule: ClusterRule
    reads: tuple[str, ...] = (_RIVALS, _SKETCHES)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        rivals = read(inbox, _RIVALS)
        groups = self.rule.groups(read(inbox, _SKETCHES), numbers(rivals, "first"))
        rows = numbers(rivals, "row")
        _, places = np.unique(groups, return_inverse=True)
        lowest = np.full(len(rows), np.iinfo(np.int64).max)
        np.minimum.at(lowest, places, rows)
        return Sent(channels={}, note=(rows, lowest[places]))


def best_rows(
    groups: Int64, *, known: np.ndarray, complete: np.ndarray, lengths: Int64, ids: pa.ChunkedArray
) -> np.ndarray:
    """Mask [N] of the rows that survive, one of each group."""
    ranks = pc.rank(ids.combine_chunks(), tiebreaker="first").to_numpy()
    order = np.lexsort((ranks, -lengths, ~complete, ~known, groups))
    survivors = np.zeros(len(groups), dtype=bool)
    survivors[order[np.flatnonzero(np.diff(groups[order], prepend=-1))]] = True
    return survivors


def components(left: Int64, right: Int64) -> tuple[Int64, Int64]:
    """The rows of some pairs, ascending, and the lowest row that each is connected with."""
    rows, both = np.unique(np.concatenate([left, right]), return_inverse=True)
    one, other = both[: len(left)], both[len(left) :]
    labels = np.arange(len(rows))
    while len(apart := np.flatnonzero(labels[one] != labels[other])):
        one, other = one[apart], other[apart]
        lowest = np.minimum(labels[one], labels[other])
        np.minimum.at(labels, np.maximum(labels[one], labels[other]), lowest)
        while not np.array_equal(above := labels[labels], labels):
            labels = above
    return rows, rows[labels]


def _pairs(inbox: Inbox, channel: str, other: str) -> Sequence[Int64]:
    found = read(inbox, channel)
    return numbers(found, "row"), numbers(found, other)
