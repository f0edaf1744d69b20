"""JSON Lines: a value a line, and what is found instead: several objects on a line, one object over several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from autodp_ray.records.files.byte_stream import ByteStream
from autodp_ray.records.formats.json_stream import FoundValue
from autodp_ray.records.formats.json_values import INVALID, NOT_TEXT, JsonFault, decode_value

BLOCK_BYTES = 4 << 20
MAX_OBJECT_LINES = 10_000
"""Lines of one object that is laid out over lines."""

_GAP = re.compile(r"[\s,\ufeff]*")


def jsonl_values(stream: ByteStream, *, not_text: str = NOT_TEXT) -> Iterator[FoundValue]:
    """Each value with its line; a JsonFault in place of what is none."""
    yield from LineReader(not_text=not_text).values(stream)


class LineReader:
    """Reads the lines of a file or of a range of it. What the lines of a range mean depends on those before only by
    `known`, and by whether its first line belongs to an object laid out over lines (`is_open`)."""

    def __init__(
        self,
        *,
        not_text: str = NOT_TEXT,
        first_line: int = 1,
        known: frozenset[str] = frozenset(),
        is_open: bool = False,
    ) -> None:
        self._not_text = not_text
        self._is_open = is_open
        self._laid_out: list[str] = []
        self._next = first_line
        self._is_ended = True
        self.known = known
        """The keys of the first object that stood on a line."""

    @property
    def next_line(self) -> int:
        """The line behind those that were read as values."""
        return self._next - len(self._laid_out)

    @property
    def open_bytes(self) -> int:
        """The size of the lines that may begin an object laid out over lines, where a range ended in them."""
        size = sum(len(line.encode("utf-8", "surrogateescape")) + 1 for line in self._laid_out)
        return size and size - (not self._is_ended)

    def values(self, stream: ByteStream, *, is_head: bool = True, is_last: bool = True) -> Iterator[FoundValue]:
        """Each value with its line. `is_head`: the stream starts as the file does; `is_last`: it ends as that does, so
        lines that are left over belong to no object."""
        for lines, self._is_ended in _line_blocks(stream, may_be_marked=is_head):
            start = 0
            if self._is_open:
                self._laid_out, self._is_open, start = lines[:1], False, 1
            for number, line in enumerate(islice(lines, start, None), self._next + start):
                if not self._laid_out and (row := _whole_object(line, self._not_text)) is not None:
                    self.known = self.known or frozenset(row)
                    yield number, row, line
                else:
                    yield from self._of_other(number, line)
            self._next += len(lines)
            del lines  # before the next ones are made
        if is_last:
            left, self._laid_out = self._laid_out, []
            yield from _of_lines(self._next - 1, left, self._not_text)

    def _of_other(self, number: int, line: str) -> Iterator[FoundValue]:
        if self._laid_out or line.rstrip() == "{":
            yield from self._of_laid_out(number, line)
        elif line and not line.isspace():
            for value, raw in _of_line(line, self._not_text):
                if isinstance(value, dict):
                    self.known = self.known or frozenset(value)
                elif isinstance(value, list) and _are_rows(value, self.known):
                    yield from ((number, row, raw) for row in value)
                    continue
                yield number, value, raw

    def _of_laid_out(self, number: int, line: str) -> Iterator[FoundValue]:
        self._laid_out.append(line)
        end = line.rstrip()
        if end in ("}", "},"):
            lines, self._laid_out = self._laid_out, []
            yield from _of_object(number, lines, self._not_text)
        elif len(self._laid_out) > MAX_OBJECT_LINES or (end == "{" and len(self._laid_out) > 1):
            lines, self._laid_out = self._laid_out[:-1], self._laid_out[-1:]
            yield from _of_lines(number - 1, lines, self._not_text)


def _are_rows(values: list[object], known: frozenset[str]) -> bool:
    """Whether an array on one line holds rows like those before it."""
    return bool(values) and all(isinstance(value, dict) and not known.isdisjoint(value) for value in values)


def _of_object(last: int, lines: list[str], not_text: str) -> Iterator[FoundValue]:
    """The object that lines hold together; each line by itself where they hold none."""
    raw = "\n".join(lines)
    found = list(_of_line(raw, not_text))
    if len(found) == 1 and not (isinstance(found[0][0], JsonFault) and found[0][0].end is None):
        yield last - len(lines) + 1, found[0][0], raw
    else:
        yield last - len(lines) + 1, JsonFault(INVALID), raw


def _of_lines(last: int, lines: list[str], not_text: str) -> Iterator[FoundValue]:
    for number, line in enumerate(lines, last - len(lines) + 1):
        if line and not line.isspace():
            yield from ((number, value, raw) for value, raw in _of_line(line, not_text))


def _whole_object(line: str, not_text: str) -> dict[str, object] | None:
    """The object that a line is, as nearly all lines are; None where it is anything else."""
    if not line.startswith("{"):
        return None
    try:
        value, end = decode_value(line, 0, not_text=not_text)
    except JsonFault:
        return None
    return value if end == len(line) and isinstance(value, dict) else None


def _of_line(line: str, not_text: str) -> Iterator[tuple[object, str]]:
    """The values of a line with their text."""
    at = _after_gap(line, 0)
    is_first = True
    while at < len(line):
        try:
            value, end = decode_value(line, at, not_text=not_text)
        except JsonFault as fault:
            end = len(line) if fault.end is None else fault.end
            value = fault
        after = _after_gap(line, end)
        if after < len(line) and line[after] != "{":
            yield JsonFault(INVALID), line if is_first else line[at:]
            return
        yield value, line if is_first and after == len(line) else line[at:end]
        at, is_first = after, False


def _after_gap(line: str, at: int) -> int:
    if at == len(line) or line[at] == "{":
        return at
    found = _GAP.match(line, at)
    assert found is not None
    return found.end()


def _line_blocks(stream: ByteStream, *, may_be_marked: bool) -> Iterator[tuple[list[str], bool]]:
    """Whole lines of the stream, some megabytes at a time, and whether the last of them has its end. Bytes that are no
    UTF-8 become lone surrogates."""
    rest = bytes(stream.read(BLOCK_BYTES))
    if may_be_marked:
        rest = rest.removeprefix(b"\xef\xbb\xbf")
    pieces: list[bytes] = []
    while rest:
        whole, newline, tail = rest.rpartition(b"\n")
        if newline:
            yield b"".join([*pieces, whole]).decode("utf-8", "surrogateescape").split("\n"), True
            pieces = []
        pieces.append(tail)
        rest = bytes(stream.read(BLOCK_BYTES))
    last = b"".join(pieces)
    if last:
        yield last.decode("utf-8", "surrogateescape").split("\n"), False
