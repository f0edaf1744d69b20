"""The content hash of a dataset: the sum of its rows' digests modulo 2^256, with the row count.

A sum, never an xor: two copies of a row must not cancel. Equal for any block layout and row order; different for any
changed cell, lost or doubled row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

ROWS_AT_ONCE = 2048
"""Whose cells are held as bytes of Python: those of a large part would take several times its size."""
_MODULUS = 1 << 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentHash:
    """Digest sum and row count; addition merges two disjoint parts of a dataset."""

    total: int = 0
    num_rows: int = 0

    def __add__(self, other: ContentHash) -> ContentHash:
        return ContentHash(total=(self.total + other.total) % _MODULUS, num_rows=self.num_rows + other.num_rows)

    def __str__(self) -> str:
        return f"{self.total:064x}-{self.num_rows}"

    @classmethod
    def parse(cls, text: str) -> ContentHash:
        total, _, num_rows = text.partition("-")
        return cls(total=int(total, 16), num_rows=int(num_rows))


def content_hash(table: pa.Table) -> ContentHash:
    """The content hash over every column of a table, in name order.

    A row's digest is the sha256 of its one-row Arrow encoding: per column the name, the type and the value, where a
    value is a tagged, length-prefixed byte string, so that no two different rows share an encoding.
    """
    names = sorted(table.column_names)
    header = hashlib.sha256(json.dumps([(name, str(table.schema.field(name).type)) for name in names]).encode())
    total = 0
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        piece = table.slice(start, ROWS_AT_ONCE)
        for cells in zip(*(_encoded(piece[name]) for name in names), strict=True):
            digest = header.copy()
            for cell in cells:
                digest.update(cell)
            total += int.from_bytes(digest.digest(), "big")
    return ContentHash(total=total % _MODULUS, num_rows=table.num_rows)


def _encoded(column: pa.ChunkedArray) -> Iterable[bytes]:
    """Each cell as bytes that start with a tag and its length."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _encoded(pa.chunked_array([chunk.storage for chunk in column.chunks], type=kind.storage_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [_NULL if cell is None else _framed(b"s", cell) for cell in column.cast(pa.large_binary()).to_pylist()]
    return [_NO_TURNS if cell == [] else _value(cell) for cell in column.to_pylist()]


_NULL = b"n\x00"


def _value(cell: object) -> bytes:
    return _NULL if cell is None else _framed(b"v", _canonical(cell))


def _framed(tag: bytes, data: bytes) -> bytes:
    return tag + len(data).to_bytes(8, "big") + data


def _canonical(value: object) -> bytes:
    """A nested value as bytes; dict keys come in schema order, which the type in the header fixes."""
    if value is None:
        return _NULL
    if isinstance(value, dict):
        return b"d" + b"".join(_framed(b"c", _canonical(item)) for item in value.values())
    if isinstance(value, list | tuple):
        return b"l" + len(value).to_bytes(8, "big") + b"".join(_framed(b"c", _canonical(item)) for item in value)
    if isinstance(value, str):
        return _framed(b"s", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes):
        return _framed(b"b", value)
    return _framed(b"r", repr(value).encode())


_NO_TURNS = _value([])
"""Of an empty history, as most rows have it."""
