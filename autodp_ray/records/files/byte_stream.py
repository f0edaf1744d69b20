"""Streams of bytes that nothing downstream needs to know the origin of."""

from __future__ import annotations

from typing import Protocol


class ByteStream(Protocol):
    """Reads on from where it stands; no bytes at the end."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class Limited:
    """The first bytes of a stream."""

    def __init__(self, stream: ByteStream, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = bytes(self._stream.read(min(size, self._left)))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._stream.close()
