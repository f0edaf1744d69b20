"""What tasks of an exchange send each other, on shared storage: one file per task, a piece of it for each reader.

A piece is an Arrow IPC stream, which is read as data and never as code. Where it lies in its file and what its bytes
are travels through Ray, so a file that someone else put or changed there is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actors.storage.storage import Storage
from operators.contract.digest import json_digest
from operators.contract.errors import RunError
from operators.contract.exchange import Boxes, Sent

DIGEST_BYTES = 16
"""Of a piece's sha256: who may write to the storage may not choose what is read."""

_PIECE = np.dtype([("reader", np.int32), ("start", np.int64), ("num_bytes", np.int64), ("digest", f"V{DIGEST_BYTES}")])


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """What one task wrote."""

    name: str
    pieces: Mapping[str, np.ndarray]
    """By channel; each an array of pieces, by ascending reader."""
    note: object


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPiece:
    """One table in a file."""

    file: str
    start: int
    num_bytes: int
    digest: bytes


def write_sent(folder: Storage, name: str, sent: Sent) -> SentFile:
    """Write all that a task sends as one file; none, where it sends nothing."""
    data: list[pa.Buffer] = []
    pieces, start = {}, 0
    for channel, boxes in sent.channels.items():
        pieces[channel] = _pieces(boxes, start, data)
        start = sum(buffer.size for buffer in data)
    if data:
        folder.write_bytes(name, b"".join(data))
    return SentFile(name=name, pieces=pieces, note=sent.note)


def pieces_for(file: SentFile, channel: str, reader: int) -> list[SentPiece]:
    """The pieces of a channel for one reader."""
    if channel not in file.pieces:
        return []
    found = file.pieces[channel]
    low, high = np.searchsorted(found["reader"], (reader, reader + 1))
    return [
        SentPiece(
            file=file.name, start=int(one["start"]), num_bytes=int(one["num_bytes"]), digest=one["digest"].tobytes()
        )
        for one in found[low:high]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInbox:
    """What is addressed to one task; picklable."""

    folder: Storage
    pieces: Mapping[str, Sequence[SentPiece]]

    @property
    def digest(self) -> str:
        """Equal for equal tables, wherever they lie."""
        return json_digest({name: [piece.digest.hex() for piece in found] for name, found in self.pieces.items()})

    def tables(self, channel: str) -> Iterator[pa.Table]:
        """Raises: RunError where a file is gone or not what the task wrote."""
        return (self._table(piece) for piece in self.pieces.get(channel, ()))

    def _table(self, piece: SentPiece) -> pa.Table:
        where = self.folder.shown_uri(piece.file)
        try:
            with self.folder.filesystem.open_input_file(self.folder.path(piece.file)) as file:
                data = file.read_at(piece.num_bytes, piece.start)
        except FileNotFoundError:
            raise RunError(f"{where} is gone while it was needed; run the same command again") from None
        if _digest(data) != piece.digest:
            raise RunError(
                f"{where} is not what a worker of this run wrote: its checksum differs; see who else writes to this "
                "storage, then run the same command again"
            )
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            return reader.read_all()


def _pieces(boxes: Boxes, start: int, data: list[pa.Buffer]) -> np.ndarray:
    """Adds the tables' bytes to `data`; where they lie, from a place in the file on."""
    found = np.empty(len(boxes), dtype=_PIECE)
    for at, (reader, table) in enumerate(sorted(boxes.items(), key=lambda box: box[0])):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        buffer = sink.getvalue()
        data.append(buffer)
        found[at] = (reader, start, buffer.size, np.void(_digest(buffer)))
        start += buffer.size
    return found


def _digest(data: pa.Buffer | bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]
