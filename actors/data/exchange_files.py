"""What tasks of an exchange send each other, on shared storage: one file per task, a piece of it for each reader.

A piece is an Arrow IPC stream, which is read as data and never as code. Where it lies in its file and what its bytes
are travels through Ray, so a file that someone else put or changed there is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from actors.storage.storage import Storage
from operators.contract.digest import json_digest
from operators.contract.errors import RunError
from operators.contract.exchange import Sent

DIGEST_BYTES = 16
"""Of a piece's sha256: who may write to the storage may not choose what is read."""

_PIECE = np.dtype(
    [
        ("reader", np.int32),
        ("sender", np.int32),
        ("start", np.int64),
        ("num_bytes", np.int64),
        ("digest", f"V{DIGEST_BYTES}"),
    ]
)
"""A table in a file; the number of its sender is known where all are together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """What one task wrote."""

    name: str
    pieces: Mapping[str, np.ndarray]
    """By channel; each an array of pieces, by ascending reader."""
    note: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """Tables for one reader, by the order of their senders."""

    files: Sequence[str]
    places: np.ndarray

    def __iter__(self) -> Iterator[tuple[str, int, int, bytes]]:
        """File, start, number of bytes and digest of each."""
        starts, sizes = self.places["start"].tolist(), self.places["num_bytes"].tolist()
        return zip(self.files, starts, sizes, self.digests, strict=True)

    @property
    def digests(self) -> list[bytes]:
        return [one.tobytes() for one in self.places["digest"]]


@dataclass(frozen=True, slots=True)
class SentPieces:
    """Where everything lies that the tasks of an exchange have sent, kept by reader: whoever asks for the tables of
    each reader in turn does not look at those of all senders each time."""

    _files: list[str] = field(default_factory=list)
    _pieces: dict[str, np.ndarray] = field(default_factory=dict)
    """By channel; by reader, then by sender."""
    _readers: dict[str, np.ndarray] = field(default_factory=dict)
    """Those of `_pieces`, in one stretch of memory, as a search wants them."""

    @property
    def num_files(self) -> int:
        return len(self._files)

    def add(self, files: Sequence[SentFile]) -> None:
        """Take in what the tasks of a step wrote."""
        new: dict[str, list[np.ndarray]] = {}
        for file in files:
            for channel, pieces in file.pieces.items():
                own = pieces.copy()
                own["sender"] = len(self._files)
                new.setdefault(channel, []).append(own)
            self._files.append(file.name)
        for channel, found in new.items():
            together = np.concatenate([*([self._pieces[channel]] if channel in self._pieces else []), *found])
            self._pieces[channel] = together[np.argsort(together["reader"], kind="stable")]
            self._readers[channel] = np.ascontiguousarray(self._pieces[channel]["reader"])

    def to(self, reader: int, channel: str) -> Addressed:
        """The tables of a channel for one reader."""
        if channel not in self._pieces:
            return Addressed(files=(), places=np.empty(0, dtype=_PIECE))
        readers = self._readers[channel]
        low, high = np.searchsorted(readers, np.array((reader, reader + 1), dtype=readers.dtype))
        places = self._pieces[channel][low:high]
        return Addressed(files=[self._files[sender] for sender in places["sender"].tolist()], places=places)


def write_sent(folder: Storage, name: str, sent: Sent) -> SentFile:
    """Write all that a task sends as one file, piece by piece; none, where it sends nothing."""
    places: dict[str, list[tuple[int, int, int, int, np.void]]] = {channel: [] for channel in sent.channels}
    if any(sent.channels.values()):
        folder.write_pieces(name, _written(sent, places))
    pieces = {channel: np.array(found, dtype=_PIECE) for channel, found in places.items()}
    return SentFile(name=name, pieces=pieces, note=sent.note)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInbox:
    """What is addressed to one task; picklable."""

    folder: Storage
    pieces: Mapping[str, Addressed]

    @property
    def digest(self) -> str:
        """Equal for equal tables, wherever they lie."""
        return json_digest({name: [digest.hex() for digest in found.digests] for name, found in self.pieces.items()})

    def tables(self, channel: str) -> Iterator[pa.Table]:
        """Raises: RunError where a file is gone or not what the task wrote."""
        return (self._table(*place) for place in self.pieces.get(channel, ()))

    def _table(self, name: str, start: int, num_bytes: int, digest: bytes) -> pa.Table:
        where = self.folder.shown_uri(name)
        try:
            with self.folder.filesystem.open_input_file(self.folder.path(name)) as file:
                data = file.read_at(num_bytes, start)
        except FileNotFoundError:
            raise RunError(f"{where} is gone while it was needed; run the same command again") from None
        if _digest(data) != digest:
            raise RunError(
                f"{where} is not what a worker of this run wrote: its checksum differs; see who else writes to this "
                "storage, then run the same command again"
            )
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            return reader.read_all()


def _written(sent: Sent, places: Mapping[str, list[tuple[int, int, int, int, np.void]]]) -> Iterator[pa.Buffer]:
    """The bytes of each table in turn; adds where they lie to the places of its channel."""
    start = 0
    for channel, boxes in sent.channels.items():
        for reader in sorted(boxes):
            buffer = _stream_of(boxes[reader])
            places[channel].append((reader, 0, start, buffer.size, np.void(_digest(buffer))))
            start += buffer.size
            yield buffer
            del buffer  # before the next table is made


def _stream_of(table: pa.Table) -> pa.Buffer:
    """The table as one batch, so that whoever takes rows of it need not put it together."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue()


def _digest(data: pa.Buffer | bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]
