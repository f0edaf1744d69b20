"""The sketches of a part, as it keeps them for the steps; those of rows that an index knows are parts as well.

Known parts come after those with new rows. They take part in all steps, and are told nothing in the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.contract.exchange import Inbox, Sent
from operators.contract.resources import KnownRows
from operators.likeness.partitioned.cluster_steps import NEAR_DUPLICATES
from operators.likeness.partitioned.copy_steps import INCOMPLETE
from operators.likeness.partitioned.tables import BAGS, HEADS, NUMBERS, SETS, SIGNATURES, numbers, read, sketch_columns
from operators.likeness.row_likeness import common_systems
from operators.likeness.row_sketches import RowSketches
from operators.rows.record import is_complete

_COLUMNS = {HEADS: (*NUMBERS, "complete", "sizes", "id"), SIGNATURES: ("signatures",), SETS: BAGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartNote:
    """What the plan knows of a part."""

    num_rows: int
    num_incomplete: int
    num_bytes: int
    """Of its sketches."""
    system: np.uint64
    """Key of the system prompt that more than half of its rows have; 0 where there is none."""


def sketch_table(batch: pa.Table, sketches: Iterable[RowSketches]) -> pa.Table:
    """All that the steps need of rows with these sketches."""
    columns = (*NUMBERS, "signatures", *BAGS)
    pieces = (
        sketch_columns(rows, columns).append_column("sizes", pa.array(rows.before.sizes + rows.answer.sizes))
        for rows in sketches
    )
    table = pa.concat_tables(pieces).append_column("complete", is_complete(batch))
    return table.append_column("id", batch["id"].combine_chunks().cast(pa.large_string()))


def part_sent(number: int, table: pa.Table) -> Sent:
    """A part's sketches, sent to the part itself."""
    note = PartNote(
        num_rows=table.num_rows,
        num_incomplete=table.num_rows - int(pc.sum(table["complete"]).as_py() or 0),
        num_bytes=table.nbytes,
        system=np.max(common_systems(numbers(table, "systems")), initial=np.uint64(0)),
    )
    channels = {channel: {number: table.select(columns)} for channel, columns in _COLUMNS.items()}
    return Sent(channels=channels, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendKnown:
    """The parts of an index, as those of a dataset send theirs."""

    known: KnownRows
    first: int
    """The number that the first of them has among all parts."""
    reads: tuple[str, ...] = ()

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        return part_sent(self.first + number, self.known.read(number))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSurvivors:
    """Of a part with new rows, the sketches of those that stay, written for the index; its note goes there too."""

    known: KnownRows
    reads: tuple[str, ...] = (*_COLUMNS, NEAR_DUPLICATES, INCOMPLETE)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        tables = [table for channel in _COLUMNS if (table := read(inbox, channel)) is not None]
        if not tables:
            return Sent(channels={})
        table = pa.table({name: table[name] for table in tables for name in table.column_names})
        stays = np.ones(table.num_rows, dtype=bool)
        for channel in (NEAR_DUPLICATES, INCOMPLETE):
            stays[numbers(read(inbox, channel), "place")] = False
        return Sent(channels={}, note=self.known.keep(number, table.filter(pa.array(stays))))
