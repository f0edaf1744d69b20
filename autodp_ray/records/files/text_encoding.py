"""The encodings of text files: byte order marks, a guess with a hint, and a stream that reads as UTF-8."""

from __future__ import annotations

import codecs
import re
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
_USUAL = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949"),
)
"""What files of text are found in that are no Unicode, for letters that several know the likeliest first."""
_OF_SEVERAL_BYTES = _USUAL[_USUAL.index("gb18030") :]
_CHARACTERS = {"gb18030": "gb2312", "euc_jp": "euc_jp", "cp949": "euc_kr"}
"""Encodings in which pairs of high bytes stand for characters, each with one that knows only the usual of these."""
_MAX_GUESSES = 3
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


def likely_encodings(head: bytes) -> list[str]:
    """The encodings that text seems to be in, likeliest first, where most of its lines are no UTF-8.

    Nothing for UTF-8; `unknown` alone where none fits.
    """
    zeros = head.count(0)
    if zeros > len(head) // 5:
        return ["utf-16-le" if head[1::2].count(0) >= zeros / 2 else "utf-16-be"]
    lines = [line for line in head.split(b"\n")[:-1] or [head] if line.strip()]
    odd = [line for line in lines if not _decodes(line, UTF8)]
    return (_guessed(odd) or ["unknown"]) if 2 * len(odd) > len(lines) else []


def _guessed(lines: Sequence[bytes]) -> list[str]:
    """What lines that are no UTF-8 may be written in: several where their letters do not tell."""
    sample = b"\n".join(lines)[:_GUESS_BYTES].rpartition(b"\n")[0] or b"\n".join(lines)[:_GUESS_BYTES]
    found = from_bytes(sample, cp_isolation=[*_USUAL])
    best = found.best()
    if best is None:
        return []
    of_several_bytes = [match.encoding for match in found if match.encoding in _OF_SEVERAL_BYTES]
    if best.encoding in of_several_bytes:
        return of_several_bytes[:_MAX_GUESSES]
    alike = [match for match in found if match.chaos <= best.chaos]
    names = [min({match.encoding, *match.could_be_from_charset} & {*_USUAL}, key=_USUAL.index) for match in alike]
    return list(dict.fromkeys([*_pairs_of_bytes(sample), *names]))[:_MAX_GUESSES]


def _pairs_of_bytes(sample: bytes) -> list[str]:
    """Those in which all that is not ASCII is whole characters: a few in long English tell statistics little."""
    runs = re.findall(rb"[\x80-\xff]+", sample)
    return [name for name, characters in _CHARACTERS.items() if all(_decodes(run, characters) for run in runs)]


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
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
