"""The four splits, train, guide, validation and test, by group of near-duplicates: no copy of a row is in two of them.

A whole group goes to one split. A held-out split scores one row of each of its groups, a complete one; the group's
other rows are set aside: they are in no split. So are rows that lack a field and share the other one with a held-out
row. With a screener, held-out rows are clean as it sees them. Knows rows by their place and by numbers, and no texts;
reads and writes no files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.config.splits_config import FEWEST_ROWS, HeldOut, SplitsConfig
from autodp_ray.preparation.row_index import Bool, RowIndex
from autodp_ray.records.row_groups import ordered_groups
from operators.contract.errors import InputError
from operators.likeness.row_likeness import lacks_what_another_has
from operators.rows.record import row_hashes
from operators.texts.text import Int64

HELD_OUT: tuple[HeldOut, ...] = get_args(HeldOut)
"""In the order in which they are drawn: another guide size leaves test and validation as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Ascending row indices, int64: into the dataset, for a split with a file of its own into that file's rows."""

    train: Int64
    guide: Int64
    validation: Int64
    test: Int64
    set_aside: Int64
    """Rows of the dataset that are in no split, since they are copies of held-out rows."""
    train_groups: Int64 | None = None
    """Group label of each train row as it was among all rows; None where a group lost one of its rows."""

    def held_out(self, name: HeldOut) -> Int64:
        return {"test": self.test, "validation": self.validation, "guide": self.guide}[name]


def assign_splits(index: RowIndex, config: SplitsConfig, *, given: Sequence[HeldOut] = ()) -> Splits:
    """Splits by hash of (seed, id), the same for any order of the rows.

    The index holds the rows of the dataset, then those of the splits that have a file of their own, which `given` names
    in that order; dataset rows that are copies of any of these are set aside. Copies between such files stay in the
    first of test, validation and guide.

    Raises: InputError when there are fewer rows than the splits need.
    """
    pool = _Pool.over(index, given, seed=config.seed)
    chosen: dict[HeldOut, Int64] = {}
    blocked: set[int] = set()
    for name in (one for one in HELD_OUT if one in given):
        chosen[name] = pool.draw(name, config.size(name), blocked)
        blocked |= pool.groups_of(pool.rows_of(name))
        if len(chosen[name]) < min(FEWEST_ROWS[name], config.size(name)):
            raise InputError(
                f"splits.{name}_path holds {len(chosen[name])} {pool.wanted} rows of its own, and a {name} split needs "
                f"{FEWEST_ROWS[name]} at least; give another file or none"
            )
    for name in HELD_OUT:
        if name not in given:
            chosen[name] = pool.draw(None, config.size(name), blocked)
            blocked |= pool.groups_of(chosen[name])
    rows = pool.rows_of(None)
    held = np.zeros(len(index), dtype=bool)
    held[list(blocked)] = True
    held = held[index.groups]
    train = pool.without_partial_copies(rows[~held[rows]], of=np.flatnonzero(held))
    _require_enough(pool, chosen, config, given=given, num_train=len(train))
    scored = {name: np.sort(found) - pool.first_of(name if name in given else None) for name, found in chosen.items()}
    is_used = np.zeros(len(rows), dtype=bool)
    for used in (train, *(scored[name] for name in HELD_OUT if name not in given)):
        is_used[used] = True
    return Splits(train=train, set_aside=np.flatnonzero(~is_used), train_groups=pool.groups_within(train), **scored)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """The rows of the dataset (source None), followed by those of the files."""

    index: RowIndex
    ids: pa.Array
    eligible: Bool
    """Complete, and clean where there is a screener: what may be held out."""
    wanted: str
    """What eligible rows are, in words."""
    sources: Sequence[HeldOut | None]
    seed: int

    @classmethod
    def over(cls, index: RowIndex, given: Sequence[HeldOut], *, seed: int) -> _Pool:
        return cls(
            index=index,
            ids=_told_apart(index, given) if given else index.ids,
            eligible=index.complete if index.clean is None else index.complete & index.clean,
            wanted="complete" if index.clean is None else "complete and clean",
            sources=(None, *given),
            seed=seed,
        )

    def rows_of(self, source: HeldOut | None) -> Int64:
        return self.index.rows_of(self.sources.index(source))

    def first_of(self, source: HeldOut | None) -> int:
        return int(self.index.starts[self.sources.index(source)])

    def groups_of(self, rows: Int64) -> set[int]:
        return set(self.index.groups[rows].tolist())

    def groups_within(self, rows: Int64) -> Int64 | None:
        """Group label of each row, the lowest place in `rows`; None unless every group is whole in them or not there.

        A row that is gone may have been what made two others of its group copies.
        """
        groups = self.index.groups
        own = groups[rows]
        is_there = np.zeros(len(groups), dtype=bool)
        is_there[own] = True
        if np.count_nonzero(is_there[groups]) > len(rows):
            return None
        first = np.empty(len(groups), dtype=np.int64)
        first[own[::-1]] = np.arange(len(rows))[::-1]  # of rows with the same label, the last assignment stays
        lowest: Int64 = first[own]
        return lowest

    def draw(self, source: HeldOut | None, size: int, blocked: Collection[int]) -> Int64:
        """One eligible row of each of the first `size` free groups of a source; fewer where there are fewer."""
        rows = self.rows_of(source)
        is_blocked = np.zeros(len(self.index), dtype=bool)
        is_blocked[list(blocked)] = True
        free = rows[self.eligible[rows] & ~is_blocked[self.index.groups[rows]]]
        groups = ordered_groups(self.ids, self.index.groups[free], seed=self.seed, salt="splits/groups", rows=free)
        return np.array([self._first_by_hash(group) for group in groups.first(size)], dtype=np.int64)

    def _first_by_hash(self, group: Int64) -> int:
        names = self.ids.take(pa.array(group)).to_pylist()
        hashes = row_hashes(names, seed=self.seed, salt="splits/rows").tolist()
        return int(group[min(range(len(group)), key=lambda at: (hashes[at], names[at]))])

    def without_partial_copies(self, rows: Int64, *, of: Int64) -> Int64:
        """The rows less those that lack a field and share the other one and its context with one of the rows `of`."""
        complete = self.index.complete
        asked, held_out = np.zeros(len(complete), dtype=bool), np.zeros(len(complete), dtype=bool)
        asked[rows] = True
        held_out[of] = True
        is_copy = lacks_what_another_has(self.index.said, of=held_out, rows_in_question=asked & ~complete)
        kept: Int64 = rows[~is_copy[rows]]
        return kept


def _told_apart(index: RowIndex, given: Sequence[HeldOut]) -> pa.Array:
    """Ids, those of the files with the names of their splits: a file's id may be in the dataset too."""
    ids = [index.ids.slice(0, int(index.starts[1]))]
    for name, start, end in zip(given, index.starts[1:], index.starts[2:], strict=False):
        ids.append(_prefixed(f"{name}\x1f", index.ids.slice(int(start), int(end - start))))
    return pa.concat_arrays(ids)


def _prefixed(prefix: str, ids: pa.Array) -> pa.Array:
    first, nothing = (pa.scalar(text, pa.large_string()) for text in (prefix, ""))
    return pc.binary_join_element_wise(first, ids, nothing)


def _require_enough(
    pool: _Pool, chosen: Mapping[HeldOut, Int64], config: SplitsConfig, *, given: Collection[str], num_train: int
) -> None:
    drawn = [name for name in HELD_OUT if name not in given]
    if num_train >= config.min_train and all(len(chosen[name]) == config.size(name) for name in drawn):
        return
    rows = pool.rows_of(None)
    eligible = rows[pool.eligible[rows]]
    sizes = " + ".join(f"{config.size(name)} {name}" for name in drawn if config.size(name)) or "no held-out"
    needed = sum(config.size(name) for name in drawn) + config.min_train
    keys = ", ".join(f"splits.{name}" for name in drawn if config.size(name))
    raise InputError(
        f"the dataset has too few rows for its splits: {len(rows)} rows, {len(eligible)} of them {pool.wanted}, in "
        f"{len(pool.groups_of(eligible))} groups of near-duplicates. Needed are {sizes} rows, one from a group, and "
        f"{config.min_train} to train on ({num_train} would be left): {needed} in all. "
        f"Give more rows, or lower {' or '.join(part for part in (keys, 'splits.min_train') if part)}"
    )
