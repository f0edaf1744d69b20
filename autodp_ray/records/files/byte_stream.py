"""Streams of bytes that nothing downstream needs to know the origin of."""

from __future__ import annotations

from typing import Protocol


class ByteStream(Protocol):
    """Reads on from where it stands; no bytes at the end."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...
