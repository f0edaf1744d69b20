"""The bytes of a compressed file: of all streams in it, or an error. Knows no files' names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from autodp_ray.records.files.byte_stream import ByteStream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK_BYTES = 1 << 18


def decompressed(file: pa.NativeFile, compression: str) -> ByteStream:
    """What a file holds in which several streams may follow one another, with zeros between and behind them.

    Reading raises an error of `READ_ERRORS` (source_files.py) where anything else follows a stream. The readers of the
    standard library for bz2 and xz end there in silence.
    """
    match compression:
        case "gzip":
            return cast(ByteStream, gzip.GzipFile(fileobj=file))
        case "bz2":
            return io.BufferedReader(_Streams(file, bz2.BZ2Decompressor))
        case "xz":
            return io.BufferedReader(_Streams(file, lzma.LZMADecompressor))
    stream: ByteStream = pa.CompressedInputStream(file, compression)
    return stream


class _Streams(io.RawIOBase):
    """One stream after another, each by a decoder of its own."""

    def __init__(self, file: pa.NativeFile, new_decoder: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]):
        self._file = file
        self._new_decoder = new_decoder
        self._decoder = new_decoder()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")
        data = b""
        while not data and (packed := self._packed()) is not None:
            data = self._decoder.decompress(packed, len(room))
        room[: len(data)] = data
        return len(data)

    def _packed(self) -> bytes | None:
        """What the decoder takes next; None behind the last stream."""
        if not self._decoder.eof:
            return self._next() if self._decoder.needs_input else b""
        following = self._decoder.unused_data.lstrip(b"\0")
        while not following:
            if not (chunk := self._file.read(_CHUNK_BYTES)):
                return None
            following = chunk.lstrip(b"\0")
        self._decoder = self._new_decoder()
        return following

    def _next(self) -> bytes:
        if not (chunk := self._file.read(_CHUNK_BYTES)):
            raise EOFError("the file ended before its last stream")
        return bytes(chunk)
