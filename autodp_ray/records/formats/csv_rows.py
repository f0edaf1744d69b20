"""Cuts CSV into whole rows, and sets apart those whose quotes are broken. Knows bytes, not values.

A cell is quoted as a whole or not at all, and a quote inside a quoted cell is doubled (RFC 4180). A quote in the middle
of an unquoted cell is text. Where a quoted cell does not end as it must, either its quote was never closed, and the
lines after it are rows of their own, or the cell holds a bare quote, and the lines belong to it: what most of them
look like decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from autodp_ray.records.files.byte_stream import ByteStream

BLOCK_BYTES = 4 << 20
HEAD_BYTES = 1 << 18
"""By which the delimiter is found."""
MAX_ROW_BYTES = 64 << 20
"""A quoted cell that has not ended after so many bytes counts as never closed."""
MAX_PROSE_LINES = 50
"""A broken cell of more lines holds rows that an open quote swallowed, whatever they look like."""

BROKEN_QUOTE = "a quote that is not closed, or is closed inside a cell"
AFTER_BROKEN = "a row with stray quotes after a broken row"

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class CsvGrammar:
    """The patterns of a dialect; `delimiter` is one ASCII character."""

    delimiter: str

    @property
    def _quoted(self) -> bytes:
        return rb'"[^"]*+(?:""[^"]*+)*+"'

    @property
    def _cut(self) -> bytes:
        return re.escape(self.delimiter.encode())

    @property
    def _cell(self) -> bytes:
        return rb'(?:%s|[^"%s\r\n][^%s\r\n]*+)?+' % (self._quoted, self._cut, self._cut)

    @property
    def _row(self) -> bytes:
        return rb"%s(?:%s%s)*+(?:\r\n|\n|\r)" % (self._cell, self._cut, self._cell)

    @cached_property
    def row(self) -> re.Pattern[bytes]:
        return re.compile(self._row)

    @cached_property
    def rows(self) -> re.Pattern[bytes]:
        """As many rows as stand one after another."""
        return re.compile(rb"(?:%s)*+" % self._row)

    @cached_property
    def row_head(self) -> re.Pattern[bytes]:
        """The cells of a row up to the one that is broken."""
        return re.compile(rb"%s(?:%s%s)*+" % (self._cell, self._cut, self._cell))

    @cached_property
    def _cells(self) -> re.Pattern[bytes]:
        return re.compile(rb"(?:\A|%s)%s" % (self._cut, self._cell))

    @cached_property
    def _tidy_row(self) -> re.Pattern[bytes]:
        cell = rb'(?:%s|[^"%s\r\n]*+)' % (self._quoted, self._cut)
        return re.compile(rb"%s(?:%s%s)*+(?:\r\n|\n|\r)?" % (cell, self._cut, cell))

    def rows_of(self, data: bytes, count: int, *, start: int = 0) -> list[bytes]:
        """The first rows of what is well formed from a place on."""
        rows: list[bytes] = []
        at = start
        while len(rows) < count and (found := self.row.match(data, at)) is not None:
            rows.append(found.group())
            at = found.end()
        return rows

    def num_cells(self, row: bytes) -> int:
        if b'"' not in row:
            return row.count(self.delimiter.encode()) + 1
        return len(self._cells.findall(row))

    def cells(self, row: bytes) -> list[bytes]:
        """The contents of a row's cells, their quotes undone."""
        parts = self._cells.findall(row.rstrip(b"\r\n"))
        texts = [parts[0], *(part[1:] for part in parts[1:])]
        return [text[1:-1].replace(b'""', b'"') if text.startswith(b'"') else text for text in texts]

    def is_tidy(self, row: bytes, num_cells: int) -> bool:
        """Whether a line is a row of so many cells without a quote in an unquoted one."""
        return self._tidy_row.fullmatch(row) is not None and self.num_cells(row) == num_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Whole rows one after another, or one broken row with the `reason`; `line` is where it starts."""

    line: int
    data: bytes
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutEnd:
    """How far the rows of a stream were told apart."""

    next_line: int
    open_bytes: int
    """Of the beginning of a row whose end is not there."""
    is_open: bool
    """Whether a broken row stands before, so that what follows may belong to it."""


class CsvCutter:
    """Reads a stream as lists of pieces, about a block each. `num_cells` is set once the header is known."""

    def __init__(
        self,
        stream: ByteStream,
        grammar: CsvGrammar,
        *,
        num_cells: int = 0,
        first_line: int = 1,
        is_open: bool = False,
        is_head: bool = True,
        is_last: bool = True,
    ) -> None:
        """`is_head`, `is_last`: the stream starts and ends as the file does; `is_open`: it follows a broken row."""
        self.num_cells = num_cells
        self.num_bytes = 0
        """Of the stream, that stand before what is to be told next."""
        self._stream = stream
        self._grammar = grammar
        self._held = b""
        self._at = 0
        self._line = first_line
        self._ended = False
        self._may_be_marked = is_head
        self._is_last = is_last
        self._after_broken = is_open

    @property
    def end(self) -> CutEnd:
        """Where it stands; at the end of the stream once all blocks are taken."""
        return CutEnd(next_line=self._line, open_bytes=len(self._held) - self._at, is_open=self._after_broken)

    def use(self, grammar: CsvGrammar) -> None:
        """Read on by another dialect."""
        self._grammar = grammar

    def head(self) -> bytes:
        """The first bytes, which stay to be read: `HEAD_BYTES`, if there are as many, or more."""
        while len(self._held) < HEAD_BYTES and self._more():
            pass
        return self._held

    def skip_line(self) -> None:
        """Pass over the first line."""
        found = _LINE_END.search(self.head())
        self._take(len(self._held) if found is None else found.end())

    def header(self) -> bytes:
        """The first row; empty where there is none, or where its quotes are broken."""
        self.head()
        while True:
            found = self._grammar.row.match(self._held, self._at)
            if found is not None and found.group().strip():
                return self._take(found.end() - self._at)
            if found is not None:
                self._take(found.end() - self._at)
            elif len(self._held) - self._at >= MAX_ROW_BYTES or not self._more():
                return b""

    def blocks(self) -> Iterator[list[Piece]]:
        """The rows after the header."""
        while True:
            pieces = list(self._pieces())
            if pieces:
                yield pieces
            if not self._more():
                break
        last = list(self._pieces())
        if last:
            yield last

    def _pieces(self) -> Iterator[Piece]:
        """What can be told of the bytes that are held."""
        while self._at < len(self._held):
            line = self._line
            whole = self._whole_rows()
            if whole:
                yield Piece(line=line, data=whole)
                continue
            reason, size = self._broken()
            if not size:
                return
            yield Piece(line=line, data=self._take(size), reason=reason)

    def _whole_rows(self) -> bytes:
        if self._after_broken:
            found = self._grammar.row.match(self._held, self._at)
            if found is None or not self._is_calm(found.group()):
                return b""
            self._after_broken = False
        if self._held.find(b'"', self._at) < 0:
            end = max(self._held.rfind(b"\n"), self._held.rfind(b"\r")) + 1
            return self._take(max(0, end - self._at))
        found = self._grammar.rows.match(self._held, self._at)
        assert found is not None
        return self._take(found.end() - self._at)

    def _is_calm(self, row: bytes) -> bool:
        return b'"' not in row or self._grammar.is_tidy(row, self._grammar.num_cells(row))

    def _broken(self) -> tuple[str, int]:
        """Why no whole row stands next, and how many bytes are lost to that; 0 bytes where more must be read first."""
        held, at = self._held, self._at
        if self._after_broken:
            found = self._grammar.row.match(held, at)
            if found is not None:
                return AFTER_BROKEN, found.end() - at
        head = self._grammar.row_head.match(held, at)
        assert head is not None
        is_open = head.end() == len(held) or held[head.end() : head.end() + 1] == b'"'
        if is_open and not self._ended and len(held) - at < MAX_ROW_BYTES:
            return "", 0
        end = min(len(held), at + MAX_ROW_BYTES) if is_open else self._line_end(head.end())
        if not end:
            return "", 0
        self._after_broken = True
        return BROKEN_QUOTE, lost_bytes(held[at:end], self._grammar, self.num_cells)

    def _line_end(self, start: int) -> int:
        found = _LINE_END.search(self._held, start)
        if found is not None:
            return found.end()
        return len(self._held) if self._ended or len(self._held) - self._at >= MAX_ROW_BYTES else 0

    def _take(self, size: int) -> bytes:
        data = self._held[self._at : self._at + size]
        self._at += size
        self.num_bytes += size
        self._line += num_lines(data)
        return data

    def _more(self) -> bool:
        if self._ended:
            return False
        rest = self._held[self._at :]
        chunk = bytes(self._stream.read(max(BLOCK_BYTES, len(rest))))
        while chunk.endswith(b"\r"):
            after = bytes(self._stream.read(1))
            chunk += after
            if not after:
                break
        if self._may_be_marked:
            marked, self._may_be_marked = chunk, False
            chunk = marked.removeprefix(b"\xef\xbb\xbf")
            self.num_bytes = len(marked) - len(chunk)
        self._ended = not chunk and self._is_last
        if self._ended and rest and not rest.endswith((b"\n", b"\r")):
            chunk = b"\n"
        self._held = rest + chunk
        self._at = 0
        return bool(chunk)


def lost_bytes(region: bytes, grammar: CsvGrammar, num_cells: int) -> int:
    """How much of a region that no row explains is one broken row: its first line, or all of its lines."""
    first = _LINE_END.search(region)
    if first is None:
        return len(region)
    rest = [line for line in region[first.end() :].splitlines() if line.strip()]
    is_row = [grammar.is_tidy(line, num_cells) for line in rest[: MAX_PROSE_LINES + 1]]
    if len(rest) > MAX_PROSE_LINES or 2 * sum(is_row) >= len(rest):
        return first.end()
    return len(region)


def num_lines(data: bytes) -> int:
    """Line ends of any kind."""
    if b"\r" not in data:
        return data.count(b"\n")
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
