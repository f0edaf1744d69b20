"""Sketches of DATASET operators on shared storage: numbers and Arrow data in files, everything else through Ray.

Files hold raw numbers and Arrow IPC alone, which are read as data and never as code. What says how to put them together
(the classes, sizes and types) travels to the reader as the result of the job that wrote the file, with a checksum, so a
file that someone else put or changed there is refused. A sketch may be of any class: its arrays and tables are found in
dataclasses, tuples, lists and dicts, however deep.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from actors.storage.storage import Storage
from operators.contract.errors import RunError

_ALIGNMENT = 64
_COLUMN = "values"


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchFile:
    """One written sketch: where its data lies, and what it is made of."""

    name: str
    checksum: str
    """sha256 of the file: who may write to the storage may not choose what is read."""
    shape: object
    """The sketch with a `_Slice` in the place of each array and table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """A numpy array's bytes in the file."""

    start: int
    num_bytes: int
    dtype: np.dtype[np.generic]
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrow:
    """An Arrow IPC stream in the file."""

    start: int
    num_bytes: int
    is_table: bool
    is_chunked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """A dataclass by the values of its fields."""

    kind: type
    values: Mapping[str, object]


def write_sketch(folder: Storage, name: str, sketch: object) -> SketchFile:
    """Write the arrays and tables of a sketch as one file."""
    packer = _Packer()
    shape = packer.pack(sketch)
    data = b"".join(packer.pieces)
    folder.write_bytes(name, data)
    return SketchFile(name=name, checksum=hashlib.sha256(data).hexdigest(), shape=shape)


def read_sketch(folder: Storage, file: SketchFile) -> object:
    """The sketch that was written.

    Raises: RunError where its file is gone or not the one that the job wrote.
    """
    try:
        data = folder.read_bytes(file.name)
    except FileNotFoundError:
        raise RunError(f"{folder.uri(file.name)} is gone while it was needed; run the same command again") from None
    if hashlib.sha256(data).hexdigest() != file.checksum:
        raise RunError(
            f"{folder.uri(file.name)} is not what a worker of this run wrote: its checksum differs; see who else "
            "writes to this storage, then run the same command again"
        )
    return _unpacked(file.shape, memoryview(data))


class _Packer:
    """Takes arrays and tables out of a sketch and lines their bytes up."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []
        self._size = 0

    def pack(self, value: object) -> object:
        """The value with a place in the file instead of each array and table."""
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return self._numbers(value)
        if isinstance(value, (pa.Array, pa.ChunkedArray, pa.RecordBatch, pa.Table)):
            return self._arrow(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return _Built(kind=type(value), values={one.name: self.pack(getattr(value, one.name)) for one in fields})
        if type(value) in (tuple, list):
            packed = [self.pack(each) for each in cast(Iterable[object], value)]
            return packed if isinstance(value, list) else tuple(packed)
        if type(value) is dict:
            return {key: self.pack(each) for key, each in value.items()}
        return value

    def _numbers(self, array: np.ndarray) -> _Numbers:
        data = np.ascontiguousarray(array).tobytes()
        return _Numbers(start=self._put(data), num_bytes=len(data), dtype=array.dtype, dims=array.shape)

    def _arrow(self, value: pa.Array | pa.ChunkedArray | pa.RecordBatch | pa.Table) -> _Arrow:
        is_table = isinstance(value, (pa.RecordBatch, pa.Table))
        is_chunked = isinstance(value, (pa.ChunkedArray, pa.Table))
        batches = value.to_batches() if isinstance(value, pa.Table) else [value] if is_table else None
        schema = value.schema if is_table else pa.schema([pa.field(_COLUMN, value.type)])
        if batches is None:
            batches = pa.table([value], schema=schema).to_batches()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        data = memoryview(sink.getvalue())
        return _Arrow(start=self._put(data), num_bytes=len(data), is_table=is_table, is_chunked=is_chunked)

    def _put(self, data: bytes | memoryview) -> int:
        start = self._size
        padding = -len(data) % _ALIGNMENT
        self.pieces += [data, bytes(padding)]
        self._size += len(data) + padding
        return start


def _unpacked(shape: object, data: memoryview) -> object:
    if isinstance(shape, _Numbers):
        piece = data[shape.start : shape.start + shape.num_bytes]
        return np.frombuffer(bytearray(piece), dtype=shape.dtype).reshape(shape.dims)
    if isinstance(shape, _Arrow):
        return _read_arrow(shape, data[shape.start : shape.start + shape.num_bytes])
    if isinstance(shape, _Built):
        return _built(shape.kind, {name: _unpacked(each, data) for name, each in shape.values.items()})
    if type(shape) in (tuple, list):
        unpacked = [_unpacked(each, data) for each in cast(Iterable[object], shape)]
        return unpacked if isinstance(shape, list) else tuple(unpacked)
    if type(shape) is dict:
        return {key: _unpacked(each, data) for key, each in shape.items()}
    return shape


def _built(kind: type, values: Mapping[str, object]) -> object:
    """An instance as it was, `__init__` and `__post_init__` left out, as when one is copied."""
    made: object = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _read_arrow(shape: _Arrow, piece: memoryview) -> object:
    with pa.ipc.open_stream(pa.py_buffer(piece)) as reader:
        table = reader.read_all()
    if shape.is_table:
        return table if shape.is_chunked else _one_batch(table)
    column = table[_COLUMN]
    if shape.is_chunked:
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
