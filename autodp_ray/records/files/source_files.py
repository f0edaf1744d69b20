"""One file of the input: opened, its compression undone, its text as UTF-8. Knows nothing of rows."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import fs

from autodp_ray.records.files.byte_stream import ByteStream
from autodp_ray.records.files.decompression import decompressed
from autodp_ray.records.files.file_kinds import COMPRESSIONS, compression_of, why_unreadable
from autodp_ray.records.files.text_encoding import (
    AUTO,
    UTF8,
    AsUtf8,
    Peeked,
    is_utf8_name,
    likely_encodings,
    marked_encoding,
)
from operators.contract.errors import InputError

READ_ERRORS = (pa.ArrowException, OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError)
"""What reading a file raises. Where its bytes are wrong messages may quote them, so none of these is repeated."""
_STORES = ("AWS Error", "google::cloud", "Azure")
"""What errors of pyarrow's filesystems hold where a store, and not the file, is at fault."""
_HEAD_BYTES = 4096
_SAMPLE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of the input. `label` is what messages and quarantine call it."""

    filesystem: fs.FileSystem
    path: str
    label: str
    format: str
    encoding: str = AUTO
    delimiter: str | None = None
    """Of CSV; None where it is to be found."""
    field: str | None = None
    """Of JSON: the path of the list of rows."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def encoding_name(self) -> str:
        """For the reason of a row whose bytes are no text."""
        return UTF8 if self.encoding == AUTO else self.encoding

    def open_stream(self) -> ByteStream:
        """The bytes of a text file from the start, as UTF-8; a known compression is undone.

        Raises: InputError where the file is something else, or in another encoding.
        """
        stream = self.open_bytes()
        if self.encoding != AUTO:
            return stream if is_utf8_name(self.encoding) else AsUtf8(stream, self.encoding)
        head = _first_bytes(stream, _SAMPLE_BYTES)
        whole = Peeked(stream, head)
        marked = marked_encoding(head)
        if marked is not None:
            return AsUtf8(whole, marked)
        likely = likely_encodings(head)
        if likely:
            raise InputError(f"{self.label} is not UTF-8; name what it is in with dataset.encoding{_seems(likely)}")
        return whole

    def open_bytes(self) -> ByteStream:
        """The bytes from the start, a known compression undone.

        Raises: InputError where the file cannot be opened, or is something else.
        """
        file = self._opened()
        suffix = compression_of(self.name)
        stream: ByteStream = file if suffix is None else decompressed(file, COMPRESSIONS[suffix])
        return stream

    def open_file(self) -> pa.NativeFile:
        """The file for random access; memory-mapped where it is local.

        Raises: InputError as `open_bytes` does.
        """
        file = self._opened()
        suffix = compression_of(self.name)
        if suffix is not None:
            raise InputError(f"{self.label} is {self.format} that was compressed as a whole; unpack it first")
        if isinstance(self.filesystem, fs.LocalFileSystem):
            file.close()
            return pa.memory_map(self.path)
        return file

    def opened_at(self, at: int, stop: int | None = None) -> pa.NativeFile:
        """The file's own bytes from a place up to another one, or to its end.

        Raises: InputError where the file cannot be opened.
        """
        try:
            file = self.filesystem.open_input_file(self.path)
            if stop is not None:
                return file.get_stream(at, stop - at)
            file.seek(at)
        except OSError as error:
            raise self._not_opened(error) from error
        return file

    def _not_opened(self, error: OSError) -> InputError:
        return InputError(f"{self.label} cannot be opened: {str(error).splitlines()[0]}")

    def _opened(self) -> pa.NativeFile:
        try:
            file = self.filesystem.open_input_file(self.path)
            head = bytes(file.read(_HEAD_BYTES))
            file.seek(0)
        except OSError as error:
            raise self._not_opened(error) from error
        wrong = why_unreadable(self.name, head, self.format)
        if wrong is not None:
            raise InputError(f"{self.label} {wrong}")
        return file

    def damaged(self, error: Exception) -> InputError:
        """What to say of an error of `READ_ERRORS`, in words that quote no row."""
        why, remedy = _why_unread(error)
        return InputError(f"{self.label} cannot be read as {self.format}: {why}; {remedy}")


def _why_unread(error: Exception) -> tuple[str, str]:
    """What is wrong, and what to do."""
    text = str(error)
    if isinstance(error, OSError) and (error.errno is not None or any(store in text for store in _STORES)):
        return text.splitlines()[0], "run the same command again once it can be read"
    if isinstance(error, pa.ArrowNotImplementedError):
        return "it holds what pyarrow does not read", "write it anew in plainer types"
    if isinstance(error, MemoryError):
        return "it takes more memory than there is", "write it anew in smaller row groups or record batches"
    is_cut = isinstance(error, EOFError) or any(
        word in text.lower() for word in ("truncat", "unexpected end", "end of stream", "ended before")
    )
    why = "it is cut short" if is_cut else "it is damaged, or something else than its name says"
    return why, "get the file anew, or leave it out"


def _seems(encodings: Sequence[str]) -> str:
    """What a file seems to be in, for a message: where it may be several, one guess would garble it unseen."""
    *others, last = encodings
    if last == "unknown":
        return ": for most Chinese files that is gb18030, for Western ones cp1252"
    if not others:
        return f"; it looks like {last}: set dataset.encoding={last}"
    return f"; it may be {', '.join(others)} or {last}: set the one that it was written in"


def _first_bytes(stream: ByteStream, size: int) -> bytes:
    parts: list[bytes] = []
    left = size
    while left > 0:
        part = bytes(stream.read(left))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
