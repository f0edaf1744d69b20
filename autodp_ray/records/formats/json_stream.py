"""Values of a JSON array (or of JSON values one after another), parsed as the text streams by."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from autodp_ray.records.files.byte_stream import ByteStream
from autodp_ray.records.formats.json_values import INVALID, NOT_TEXT, JsonFault, decode_value
from operators.contract.errors import InputError

CHUNK_BYTES = 4 << 20
HEAD_BYTES = 1 << 16
"""In which the first row of an array is looked for."""
MAX_VALUE_CHARS = 64 << 20
"""A value that has not ended after so many characters is broken, so that an open quote cannot eat the memory."""
MAX_FIRST_KEYS = 16

_GAP = re.compile(r"[\s,\ufeff]*")
_SPACE = re.compile(r"[\s\ufeff]*")
_NEXT_OBJECT = re.compile(r"\}\s*,?\s*(?=\{)")
_FIRST_KEY = re.compile(r'\{\s*("[^"\\]{1,200}")\s*:')
_ARRAY_OF_OBJECTS = re.compile(rf"[\s\ufeff]*\[\s*{_FIRST_KEY.pattern}")

FoundValue = tuple[int, object, str]
"""Line, value or JsonFault, raw text."""


def first_key_of_rows(stream: ByteStream) -> str | None:
    """What the first row of an array of objects begins with: its first key, as it is written. None for other files."""
    head = bytes(stream.read(HEAD_BYTES)).decode("utf-8", "replace")
    found = _ARRAY_OF_OBJECTS.match(head)
    return None if found is None else found.group(1)


class ValueReader:
    """Reads a file of JSON values, or a range of it: each value of the arrays, or between them; a JsonFault in place of
    one that is broken.

    After a broken value, reading goes on at the next object that starts as the ones before it did. What the values of a
    range are depends on what stands before only by whether an array is open there (`in_array`), and by the keys that
    objects began with (`known`).
    """

    def __init__(
        self,
        *,
        not_text: str = NOT_TEXT,
        first_line: int = 1,
        known: frozenset[str] = frozenset(),
        in_array: bool = False,
    ) -> None:
        self._not_text = not_text
        self._first_keys = dict.fromkeys(known)
        self.in_array = in_array
        self.next_line = first_line
        """The line behind those that were read as values, once all are taken."""
        self.open_bytes = 0
        """The size of what may begin a value, where a range ended in it."""

    @property
    def known(self) -> frozenset[str]:
        return frozenset(self._first_keys)

    def values(self, stream: ByteStream, *, field: str | None = None, is_last: bool = True) -> Iterator[FoundValue]:
        """Each value with its line and text. `field` is the path, with dots, of the array in an object that is to be
        read instead; `is_last`: the stream ends as the file does.

        Raises: InputError where `field` leads to no array.
        """
        self._text, self._is_last = _Text(stream, line=self.next_line), is_last
        if field is not None:
            _seek(self._text, field)
        yield from self._found(only_one_array=field is not None)
        self.next_line, self.open_bytes = self._text.line, self._text.num_bytes_left

    def _found(self, *, only_one_array: bool) -> Iterator[FoundValue]:
        text = self._text
        while text.skip(_GAP):
            here = text.buffer[text.at]
            if here == "]":
                text.advance(1)
                self.in_array = False
                if only_one_array:
                    return
                continue
            opens = here == "[" and self._opens_an_array()
            if opens:
                text.advance(1)
                self.in_array = True
            elif opens is None or (value := self._next()) is None:
                return
            else:
                yield value

    def _opens_an_array(self) -> bool | None:
        """Whether rows follow: outside an array, or where an array was not closed before the next one. None where the
        range ends before that is sure."""
        if not self.in_array:
            return True
        is_sure = self._text.ensure(4096) or self._is_last
        return self._first_key(_after_bracket(self._text)) in self._first_keys if is_sure else None

    def _next(self) -> FoundValue | None:
        """The value that stands here, passed over; None where the range may end before it does."""
        text, line = self._text, self._text.line
        while True:
            try:
                value, end = decode_value(text.buffer, text.at, not_text=self._not_text)
            except JsonFault as fault:
                is_short = len(text.buffer) - text.at < MAX_VALUE_CHARS
                if fault.end is None and fault.is_cut and is_short:
                    if text.more():
                        continue
                    if not self._is_last:
                        return None
                size = self._lost_chars() if fault.end is None else fault.end - text.at
                return None if size is None else (line, fault, text.advance(size))
            if end == len(text.buffer) and not isinstance(value, dict):
                if text.more():
                    continue
                if not self._is_last:
                    return None
            if isinstance(value, dict) and len(self._first_keys) < MAX_FIRST_KEYS:
                self._first_keys.setdefault(self._first_key(text.at))
            return line, value, text.advance(end - text.at)

    def _first_key(self, at: int) -> str:
        found = _FIRST_KEY.match(self._text.buffer, at)
        return "" if found is None else found.group(1)

    def _lost_chars(self) -> int | None:
        """How much is broken: up to the next object that starts with a key that others start with. None where the range
        ends before it."""
        text = self._text
        keys = [re.escape(key) for key in self._first_keys if key]
        pattern = re.compile(rf"\{{\s*(?:{'|'.join(keys)})\s*:") if keys else _NEXT_OBJECT
        start = 1
        while True:
            found = pattern.search(text.buffer, text.at + start)
            if found is not None:
                return (found.start() if keys else found.end()) - text.at
            held = len(text.buffer) - text.at
            if held >= MAX_VALUE_CHARS or not text.more():
                return self._end_of_array(held) if held >= MAX_VALUE_CHARS or self._is_last else None
            start = max(1, held - 256)

    def _end_of_array(self, held: int) -> int:
        """Keeps the bracket that closes the array out of the broken text at the end of a file."""
        rest = self._text.buffer[self._text.at : self._text.at + held].rstrip()
        return len(rest) - 1 if self.in_array and rest.endswith("]") and len(rest) > 1 else held


def _after_bracket(text: _Text) -> int:
    found = _SPACE.match(text.buffer, text.at + 1)
    assert found is not None
    return found.end()


def _seek(text: _Text, field: str) -> None:
    """Go to the array under a path of keys."""
    for key in field.split("."):
        text.skip(_SPACE)
        if text.peek() != "{" or not _seek_key(text, key):
            raise InputError(f"there is no key {key!r} on the way of dataset.field={field!r}; name the list of rows")
    text.skip(_SPACE)
    if text.peek() != "[":
        raise InputError(f"dataset.field={field!r} leads to no list; name the key whose value is the list of rows")


def _seek_key(text: _Text, wanted: str) -> bool:
    """Pass over an object's members up to the value of a key."""
    text.advance(1)
    while text.skip(_GAP) and text.peek() == '"':
        key = text.value()
        text.skip(_SPACE)
        if text.peek() != ":":
            return False
        text.advance(1)
        text.skip(_SPACE)
        if key == wanted:
            return True
        text.value()
    return False


class _Text:
    """A window on the decoded stream: what is before `at` is done with."""

    def __init__(self, stream: ByteStream, *, line: int) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._ended = False
        self.buffer = ""
        self.at = 0
        self.line = line

    @property
    def num_bytes_left(self) -> int:
        return len(self.buffer[self.at :].encode("utf-8", "surrogateescape"))

    def more(self) -> bool:
        """Read on; False at the end of the stream. Doubles what is held, so a long value is rescanned rarely."""
        if self._ended:
            return False
        data = bytes(self._stream.read(max(CHUNK_BYTES, len(self.buffer) - self.at)))
        self._ended = not data
        self.buffer = self.buffer[self.at :] + self._decoder.decode(data, final=self._ended)
        self.at = 0
        return True

    def ensure(self, count: int) -> bool:
        """Have so many characters in the window; False where the stream has fewer."""
        while len(self.buffer) - self.at < count and self.more():
            pass
        return len(self.buffer) - self.at >= count

    def peek(self) -> str:
        return self.buffer[self.at : self.at + 1]

    def advance(self, count: int) -> str:
        passed = self.buffer[self.at : self.at + count]
        self.line += passed.count("\n")
        self.at += count
        return passed

    def value(self) -> object:
        """The value that stands here, passed over.

        Raises: InputError where there is none.
        """
        while True:
            try:
                value, end = decode_value(self.buffer, self.at)
            except JsonFault as fault:
                if fault.is_cut and self.more():
                    continue
                raise InputError(f"{INVALID} on line {self.line}, before the rows of dataset.field") from None
            if end == len(self.buffer) and self.more():
                continue
            self.advance(end - self.at)
            return value

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
