"""What decoding rows of any form shares: records by column, and notes of what their default spelling does not say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from autodp_ray.records.forms.row_spelling import Residue
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.spelling.raw_columns import RawColumns
from autodp_ray.records.turns.turns import Turn
from operators.contract.errors import InputError
from operators.rows.record import TURN, TURN_WITH_KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Record columns [N] of a raw batch; `faults` are rows that cannot become records, by position."""

    history: pa.Array
    question: pa.Array
    answer: pa.Array
    residues: dict[int, Residue]
    faults: dict[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What the rows of one raw batch spell otherwise than the dataset does, noted row by row."""

    raw: RawColumns
    layout: Layout
    residues: dict[int, Residue]

    def missing(self, key: str, column: pa.Array, mask: pa.Array) -> None:
        """Note the masked rows that do not spell a missing value as the dataset does."""
        for row in np.flatnonzero(mask.to_numpy(zero_copy_only=False)).tolist():
            self.missing_cell(key, column[row].as_py(), row)

    def missing_cell(self, key: str, value: object, row: int) -> None:
        """The same for one cell."""
        if self.raw.leaves_out(key, row):
            if key not in self.layout.left_out:
                self.at(row).left_out.append(key)
        elif key in self.layout.left_out or self.layout.missing_value(key) != value:
            self.at(row).spelled[key] = value

    def keep(self, key: str, value: object, row: int) -> None:
        """Note how a row spells a key, or that it leaves it out."""
        if self.raw.leaves_out(key, row):
            self.at(row).left_out.append(key)
        else:
            self.at(row).spelled[key] = value

    def at(self, row: int) -> Residue:
        """The residue of one row."""
        return self.residues.setdefault(row, Residue())


def is_same(spelled: object, value: object) -> bool:
    """Whether two JSON values are written alike, which `==` does not tell of 1 and True or of the order of keys."""
    return spelled == value and (isinstance(value, str) or json.dumps(spelled) == json.dumps(value))


def turn_lists(histories: Sequence[Sequence[Turn]], layout: Layout) -> pa.Array:
    """The histories of records as an Arrow column."""
    offsets = np.cumsum([0, *map(len, histories)], dtype=np.int32)
    turns = [turn for history in histories for turn in history]
    columns = [pa.array([turn.role for turn in turns], pa.string())]
    columns.append(pa.array([turn.content for turn in turns], pa.string()))
    if layout.has_turn_keys:
        columns.append(pa.array([turn.extra for turn in turns], pa.string()))
    elif any(turn.extra for turn in turns):
        raise InputError("the input changed while it was read: its turns have further keys now")
    kind = TURN_WITH_KEYS if layout.has_turn_keys else TURN
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, fields=list(kind)))
