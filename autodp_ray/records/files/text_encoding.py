"""The encodings of text files: byte order marks, a guess with a hint, and a stream that reads as UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from charset_normalizer import from_bytes

from autodp_ray.records.files.byte_stream import ByteStream

AUTO = "auto"
UTF8 = "UTF-8"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHINESE = ("gb2312", "gbk", "gb18030", "hz")
_GUESS_BYTES = 1 << 16
_MARKED = "autodp.marked"
_MARK = "\udcff"
"""Stands for bytes that an encoding does not know: no text, so the row is set aside."""


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return _MARK, error.end


codecs.register_error(_MARKED, _marked)


def is_text_encoding(name: str) -> bool:
    """Whether Python knows an encoding of text by this name."""
    try:
        return "a".encode(name).decode(name) == "a"
    except (LookupError, UnicodeError, ValueError):
        return False


def marked_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark at the start names, other than UTF-8."""
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def is_utf8_name(encoding: str) -> bool:
    return codecs.lookup(encoding).name in ("utf-8", "ascii")


def likely_encoding(head: bytes) -> str | None:
    """An encoding that text seems to be in, where most of its lines are no UTF-8; `unknown` where none fits."""
    zeros = head.count(0)
    if zeros > len(head) // 5:
        return "utf-16-le" if head[1::2].count(0) >= zeros / 2 else "utf-16-be"
    lines = [line for line in head.split(b"\n")[:-1] or [head] if line.strip()]
    odd = [line for line in lines if not _is_utf8(line)]
    return guessed_encoding(odd) if 2 * len(odd) > len(lines) else None


def guessed_encoding(lines: Sequence[bytes]) -> str:
    """What lines that are no UTF-8 are written in."""
    sample = b"\n".join(lines)[:_GUESS_BYTES].rpartition(b"\n")[0] or b"\n".join(lines)[:_GUESS_BYTES]
    found = from_bytes(sample).best()
    if found is None:
        return "unknown"
    name = codecs.lookup(found.encoding).name
    return "gb18030" if name in _CHINESE else name


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class AsUtf8:
    """A stream of another encoding, as UTF-8. Bytes that the encoding does not know become one that is no UTF-8."""

    def __init__(self, stream: ByteStream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(_MARKED)

    def read(self, size: int, /) -> bytes:
        while True:
            data = bytes(self._stream.read(size))
            text = self._decoder.decode(data, final=not data)
            if text or not data:
                return text.encode("utf-8", "surrogateescape")

    def close(self) -> None:
        self._stream.close()


class Peeked:
    """A stream whose first bytes were looked at."""

    def __init__(self, stream: ByteStream, head: bytes) -> None:
        self._stream = stream
        self._head = head

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return bytes(self._stream.read(size))

    def close(self) -> None:
        self._stream.close()
