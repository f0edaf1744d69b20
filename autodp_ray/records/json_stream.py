"""Values of a JSON array (or of JSON values one after another), parsed as the text streams by."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

import pyarrow as pa

CHUNK_BYTES = 4 << 20
MAX_VALUE_CHARS = 64 << 20
"""A value that has not ended after so many characters is broken, so that an open quote cannot eat the memory."""

_GAP = re.compile(r"[\s,]*")
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")


def json_values(stream: pa.NativeFile) -> Iterator[tuple[int, object, str]]:
    """(line, value, raw text) of each value; where one is broken, (line, ValueError, raw text), and parsing goes on at
    the next `}, {`."""
    text = _Text(stream)
    text.skip(re.compile(r"\ufeff?\s*\[?"))
    decode = json.JSONDecoder().raw_decode
    while text.skip(_GAP):
        if text.buffer.startswith("]", text.at):
            text.advance(1)
            continue
        line = text.line
        try:
            value, end = decode(text.buffer, text.at)
        except (ValueError, RecursionError):
            if len(text.buffer) - text.at < MAX_VALUE_CHARS and text.more():
                continue
            yield line, ValueError("invalid JSON"), text.advance(_broken_chars(text))
            continue
        if end == len(text.buffer) and not isinstance(value, dict) and text.more():
            continue
        yield line, value, text.advance(end - text.at)


def _broken_chars(text: _Text) -> int:
    found = _NEXT_OBJECT.search(text.buffer, text.at)
    return (found.end() if found else len(text.buffer)) - text.at


class _Text:
    """A window on the decoded stream: what is before `at` is done with."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ended = False
        self.buffer = ""
        self.at = 0
        self.line = 1

    def more(self) -> bool:
        """Read on; False at the end of the stream. Doubles what is held, so a long value is rescanned rarely."""
        if self._ended:
            return False
        data = bytes(self._stream.read(max(CHUNK_BYTES, len(self.buffer) - self.at)))
        self._ended = not data
        self.buffer = self.buffer[self.at :] + self._decoder.decode(data, final=self._ended)
        self.at = 0
        return True

    def advance(self, count: int) -> str:
        passed = self.buffer[self.at : self.at + count]
        self.line += passed.count("\n")
        self.at += count
        return passed

    def skip(self, pattern: re.Pattern[str]) -> bool:
        """Pass over what matches; False where nothing but that is left."""
        while True:
            found = pattern.match(self.buffer, self.at)
            if found is not None:
                self.advance(found.end() - self.at)
            if self.at < len(self.buffer):
                return True
            if not self.more():
                return False
