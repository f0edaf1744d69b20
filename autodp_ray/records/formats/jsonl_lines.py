"""JSON Lines: a value a line, and what is found instead: several objects on a line, one object over several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autodp_ray.records.files.byte_stream import ByteStream
from autodp_ray.records.formats.json_stream import FoundValue
from autodp_ray.records.formats.json_values import INVALID, NOT_TEXT, JsonFault, decode_value

BLOCK_BYTES = 4 << 20
MAX_OBJECT_LINES = 10_000
"""Lines of one object that is laid out over lines."""

_GAP = re.compile(r"[\s,\ufeff]*")


def jsonl_values(stream: ByteStream, *, not_text: str = NOT_TEXT) -> Iterator[FoundValue]:
    """Each value with its line; a JsonFault in place of what is none."""
    laid_out: list[str] = []
    first = 1
    known: frozenset[str] = frozenset()
    for lines in _line_blocks(stream):
        for number, line in enumerate(lines, first):
            if not laid_out and (row := _whole_object(line, not_text)) is not None:
                known = known or frozenset(row)
                yield number, row, line
            elif laid_out or line.rstrip() == "{":
                laid_out.append(line)
                if line.rstrip() in ("}", "},"):
                    yield from _of_object(number, laid_out, not_text)
                elif len(laid_out) > MAX_OBJECT_LINES or (line.rstrip() == "{" and len(laid_out) > 1):
                    yield from _of_lines(number - 1, laid_out[:-1], not_text)
                    laid_out[:-1] = []
                    continue
                else:
                    continue
                laid_out = []
            elif line and not line.isspace():
                for value, raw in _of_line(line, not_text):
                    if isinstance(value, dict):
                        known = known or frozenset(value)
                    elif isinstance(value, list) and _are_rows(value, known):
                        yield from ((number, row, raw) for row in value)
                        continue
                    yield number, value, raw
        first += len(lines)
    yield from _of_lines(first - 1, laid_out, not_text)


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


def _line_blocks(stream: ByteStream) -> Iterator[list[str]]:
    """Whole lines of the stream, some megabytes at a time. Bytes that are no UTF-8 become lone surrogates."""
    rest = bytes(stream.read(BLOCK_BYTES)).removeprefix(b"\xef\xbb\xbf")
    pieces: list[bytes] = []
    while rest:
        whole, newline, tail = rest.rpartition(b"\n")
        if newline:
            yield b"".join([*pieces, whole]).decode("utf-8", "surrogateescape").split("\n")
            pieces = []
        pieces.append(tail)
        rest = bytes(stream.read(BLOCK_BYTES))
    last = b"".join(pieces)
    if last:
        yield last.decode("utf-8", "surrogateescape").split("\n")
