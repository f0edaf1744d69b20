"""The four splits, train, guide, validation and test, by group of near-duplicates: no copy of a row is in two of them.

A whole group goes to one split. A held-out split scores one row of each of its groups, a complete one; the group's
other rows are set aside: they are in no split. So are rows that lack a field and share the other one with a held-out
row. With a screener, held-out rows are clean as it sees them. Knows rows by their place in the table; reads and writes
no files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

import numpy as np
import pyarrow as pa

from autodp_ray.config.splits_config import HeldOut, SplitsConfig
from autodp_ray.records.row_groups import ordered_groups
from operators.contract.errors import InputError
from operators.contract.resources import Screener
from operators.likeness.row_likeness import group_rows, lacks_what_another_has
from operators.likeness.row_sketches import RowSketches, merge_rows, sketch_rows
from operators.rows.content_columns import ContentColumns
from operators.rows.record import is_complete, row_hashes, take_rows

HELD_OUT: tuple[HeldOut, ...] = get_args(HeldOut)
"""In the order in which they are drawn: another guide size leaves test and validation as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Ascending row indices, int64: into the dataset, for a split with a file of its own into that file's table."""

    train: np.ndarray
    guide: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    set_aside: np.ndarray
    """Rows of the dataset that are in no split, since they are copies of held-out rows."""
    train_groups: np.ndarray | None = None
    """Group label of each train row as it was among all rows; None where a group lost one of its rows."""

    def held_out(self, name: HeldOut) -> np.ndarray:
        return {"test": self.test, "validation": self.validation, "guide": self.guide}[name]

    def tables(self, table: pa.Table, files: Mapping[HeldOut, pa.Table] | None = None) -> dict[str, pa.Table]:
        """The rows of each split by its name; `table` and `files` as given to `assign_splits`."""
        taken: dict[str, pa.Table] = {
            name: take_rows((files or {}).get(name, table), self.held_out(name)) for name in HELD_OUT
        }
        return {"train": take_rows(table, self.train), **taken}


def assign_splits(
    table: pa.Table,
    config: SplitsConfig,
    *,
    files: Mapping[HeldOut, pa.Table] | None = None,
    screener: Screener | None = None,
    content: ContentColumns = "auto",
) -> Splits:
    """Splits by hash of (seed, id), the same for any order of the rows.

    `files` holds the rows of the splits that have a file of their own; dataset rows that are copies of any of them are
    set aside. Copies between such files stay in the first of test, validation and guide. `content` names the further
    columns that make rows different.

    Raises: InputError when there are fewer rows than the splits need; EndpointError where the screener fails.
    """
    given = {name: files[name] for name in HELD_OUT if files and name in files}
    pool = _Pool.over(table, given, config, screener=screener, content=content)
    chosen: dict[HeldOut, np.ndarray] = {}
    blocked: set[int] = set()
    for name in given:
        chosen[name] = pool.draw(name, config.size(name), blocked)
        blocked |= pool.groups_of(pool.rows_of(name))
        if len(chosen[name]) < min(1, config.size(name)):
            raise InputError(f"splits.{name}_path holds no {pool.wanted} row of its own; give another file or none")
    for name in HELD_OUT:
        if name not in given:
            chosen[name] = pool.draw(None, config.size(name), blocked)
            blocked |= pool.groups_of(chosen[name])
    rows = pool.rows_of(None)
    held = np.isin(pool.groups, list(blocked))
    train = pool.without_partial_copies(rows[~held[rows]], of=np.flatnonzero(held))
    _require_enough(pool, chosen, config, given=given, num_train=len(train))
    scored = {name: np.sort(found) - pool.bounds[name if name in given else None][0] for name, found in chosen.items()}
    used = np.concatenate([train, *(scored[name] for name in HELD_OUT if name not in given)])
    return Splits(train=train, set_aside=np.setdiff1d(rows, used), train_groups=pool.groups_within(train), **scored)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """The rows of the dataset (source None), followed by those of the files."""

    sketches: RowSketches
    ids: Sequence[str]
    groups: np.ndarray
    complete: np.ndarray
    eligible: np.ndarray
    """Complete, and clean where there is a screener: what may be held out."""
    wanted: str
    """What eligible rows are, in words."""
    bounds: Mapping[HeldOut | None, tuple[int, int]]
    seed: int

    @classmethod
    def over(
        cls,
        table: pa.Table,
        files: Mapping[HeldOut, pa.Table],
        config: SplitsConfig,
        *,
        screener: Screener | None,
        content: ContentColumns,
    ) -> _Pool:
        parts = [table, *files.values()]
        sketches = merge_rows([sketch_rows(part, content=content) for part in parts])
        sources: list[HeldOut | None] = [None, *files]
        starts = np.cumsum([0, *(part.num_rows for part in parts)])
        ids = list(table["id"].to_pylist())
        for name, part in files.items():  # a file's id may be in the dataset too
            ids += [f"{name}\x1f{row_id}" for row_id in part["id"].to_pylist()]
        complete = np.concatenate([is_complete(part).to_numpy(zero_copy_only=False) for part in parts])
        noisy = [] if screener is None else [screener.needs_work(part) for part in parts]
        return cls(
            sketches=sketches,
            ids=ids,
            groups=group_rows(sketches, config.near_duplicate_threshold),
            complete=complete,
            eligible=complete if screener is None else complete & ~np.concatenate(noisy),
            wanted="complete" if screener is None else "complete and clean",
            bounds=dict(zip(sources, pairwise(starts.tolist()), strict=True)),
            seed=config.seed,
        )

    def rows_of(self, source: HeldOut | None) -> np.ndarray:
        return np.arange(*self.bounds[source])

    def groups_of(self, rows: np.ndarray) -> set[int]:
        return set(self.groups[rows].tolist())

    def groups_within(self, rows: np.ndarray) -> np.ndarray | None:
        """Group label of each row, the lowest place in `rows`; None unless every group is whole in them or not there.

        A row that is gone may have been what made two others of its group copies.
        """
        if np.isin(self.groups, self.groups[rows]).sum() > len(rows):
            return None
        _, first, group = np.unique(self.groups[rows], return_index=True, return_inverse=True)
        lowest: np.ndarray = first[group]
        return lowest

    def draw(self, source: HeldOut | None, size: int, blocked: Collection[int]) -> np.ndarray:
        """One eligible row of each of the first `size` free groups of a source; fewer where there are fewer."""
        rows = self.rows_of(source)
        free = rows[self.eligible[rows] & ~np.isin(self.groups[rows], list(blocked))]
        ids = [self.ids[row] for row in free]
        hashes = row_hashes(ids, seed=self.seed, salt="splits/rows")
        members = ordered_groups(ids, self.groups[free], seed=self.seed, salt="splits/groups")[:size]
        drawn = [int(free[min(group, key=lambda at: (hashes[at], ids[at]))]) for group in members]
        return np.array(drawn, dtype=np.int64)

    def without_partial_copies(self, rows: np.ndarray, *, of: np.ndarray) -> np.ndarray:
        """The rows less those that lack a field and share the other one and its context with one of the rows `of`."""
        asked, held_out = np.zeros(len(self.complete), dtype=bool), np.zeros(len(self.complete), dtype=bool)
        asked[rows] = True
        held_out[of] = True
        is_copy = lacks_what_another_has(self.sketches, of=held_out, rows_in_question=asked & ~self.complete)
        kept: np.ndarray = rows[~is_copy[rows]]
        return kept


def _require_enough(
    pool: _Pool, chosen: Mapping[HeldOut, np.ndarray], config: SplitsConfig, *, given: Collection[str], num_train: int
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
