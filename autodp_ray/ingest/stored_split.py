"""What a worker does with one split: its rows become Arrow parts, its bad rows a quarantine, its ids hashes.

Beside the parts lies a small sealed record of them, so that whoever reads the same input again after a fault goes on
with the splits that are not done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from actors.data.pool_config import PartSize
from actors.data.stored_dataset import Part, is_there, write_part_file
from actors.storage.sealed import sealed, unsealed
from actors.storage.storage import Storage
from autodp_ray.ingest.id_files import write_hashes
from autodp_ray.records.files.file_ranges import RangeEnd
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.records.reader import FirstBad, record_batches
from autodp_ray.records.row_ids import id_hashes
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.splits.plan import Split
from autodp_ray.records.splits.split_reader import SplitReader
from operators.contract.errors import RunError


class BadPlace(BaseModel):
    """Where a bad row stands, and what is wrong with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    line: int
    reason: str


class StoredSplit(BaseModel):
    """The record of a finished split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """Of the input, the layout and all that says how it is read."""
    index: int
    begun: str
    """Where it starts and what its reader began with."""
    parts: tuple[Part, ...]
    quarantined: Mapping[str, int]
    first_bad: BadPlace | None
    next_line: int
    known: tuple[str, ...]
    open_bytes: int
    is_open: bool
    is_numbered: bool = False
    """Whether the ids of its exact copies have their numbers."""

    @property
    def num_rows(self) -> int:
        return sum(part.num_rows for part in self.parts)

    @property
    def name(self) -> str:
        return _record_name(self.index)

    @property
    def quarantine_name(self) -> str:
        return _quarantine_name(self.index)

    def write(self, out: Storage) -> None:
        out.write_bytes(self.name, sealed(self.model_dump_json()))


def _record_name(index: int) -> str:
    return f"split-{index:06d}.json"


def _quarantine_name(index: int) -> str:
    return f"quarantine-{index:06d}.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSplit:
    """Stores a split in the folder `out`, or finds that it is there; plain data that travels to workers."""

    key: str
    layout: Layout
    out: Storage
    size: PartSize

    def __call__(self, split: Split) -> tuple[StoredSplit, RangeEnd]:
        stored = self._found(split) or self._stored(split)
        end = RangeEnd(
            next_line=stored.next_line,
            known=frozenset(stored.known),
            open_bytes=stored.open_bytes,
            is_open=stored.is_open,
        )
        return stored, end

    def _found(self, split: Split) -> StoredSplit | None:
        """The record of the split, where it and what it names are there."""
        try:
            data = self.out.read_bytes(_record_name(split.index))
            found = StoredSplit.model_validate_json(unsealed(data, what="a split's record"))
        except (RunError, OSError, ValidationError):
            return None
        is_same = (found.key, found.begun) == (self.key, _begun(split))
        return found if is_same and all(is_there(self.out, part) for part in found.parts) else None

    def _stored(self, split: Split) -> StoredSplit:
        reader = SplitReader(split)
        parts = _Parts(self.out, split.index, self.size)
        hashes: list[np.ndarray] = []
        with Quarantine(self.out, name=_quarantine_name(split.index)) as quarantine:
            first_bad = FirstBad(quarantine)
            for table, _ in record_batches(reader.batches(), self.layout, on_quarantine=first_bad):
                hashes.append(id_hashes(table["id"].to_pylist()))
                parts.add(table)
        parts.close()
        write_hashes(self.out, split.index, np.concatenate([np.empty((0, 2), np.uint64), *hashes]))
        stored = StoredSplit(
            key=self.key,
            index=split.index,
            begun=_begun(split),
            parts=tuple(parts.written),
            quarantined=quarantine.counts,
            first_bad=_place(first_bad.row),
            next_line=reader.end.next_line,
            known=tuple(sorted(reader.end.known)),
            open_bytes=reader.end.open_bytes,
            is_open=reader.end.is_open,
        )
        stored.write(self.out)
        return stored


def _begun(split: Split) -> str:
    part = split.ranges[0]
    return f"{part.start}:{part.stop}:{part.first_line}:{part.is_open}:{sorted(part.known)}"


def _place(row: BadRow | None) -> BadPlace | None:
    return None if row is None else BadPlace(source=row.source, line=row.line, reason=row.reason)


class _Parts:
    """Writes tables as parts of one split, cut by rows and bytes."""

    def __init__(self, out: Storage, split: int, size: PartSize) -> None:
        self.written: list[Part] = []
        self._out = out
        self._split = split
        self._size = size
        self._held: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def add(self, table: pa.Table) -> None:
        start = 0
        while start < table.num_rows:
            piece = table.slice(start, self._size.rows - self._rows % self._size.rows)
            start += piece.num_rows
            self._held.append(piece)
            self._rows += piece.num_rows
            self._bytes += piece.nbytes
            is_full = self._rows % self._size.rows == 0 and self._bytes >= self._size.least_bytes
            if is_full or self._bytes >= self._size.most_bytes:
                self.close()

    def close(self) -> None:
        """Write what is held."""
        if self._held:
            name = f"part-{self._split:06d}-{len(self.written):05d}.arrow"
            self.written.append(write_part_file(self._out, name, pa.concat_tables(self._held).combine_chunks()))
        self._held, self._rows, self._bytes = [], 0, 0
