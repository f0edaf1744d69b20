"""Drops rows that are mostly symbols.

Knows what an ordinary text looks like in any script: words, digits, and punctuation attached to them.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from operators.contract.counts import Transformed, keep_rows
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Language, Resources
from operators.texts.notation import MISREAD_RE2, MISREAD_SIGNS, count_symbols
from operators.texts.text import bytes_of, code_points

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]

_OPENING = r"""["'(\[{<“‘«‹（［｛【《〈「『〔¿¡*#`$￥€-]"""
_CLOSING = r"""[.,!?;:"')\]}>…”’»›。，、；：？！）］｝】》〉」』〕·%％°℃～—–*`-]"""
_PLANE = 0x10000
_ONE_SPACE = 1 << 32
"""A space in a sum of which the lower half counts characters that may be special: both are counted at once."""
_SPECIAL, _SPACE = 1, 2
_MAYBE_SPECIAL = rf"[^\pL\pM\pN\s]|[{MISREAD_SIGNS}]"
"""Signs of all kinds, and letters of which text that was misread is made."""
_ORDINARY = rf"{_OPENING}{{0,3}}[\pL\pM\pN]+{_CLOSING}{{0,3}}|\s+"


class SpecialCharRatio(RowOperator):
    """Keeps rows whose share of special characters lies in [min_ratio, max_ratio] in question and in answer.

    Special is what is neither letter, digit nor space, nor punctuation that opens or closes a word (at most three
    marks in a row, full-width ones too), and letters that were read under the wrong codec. The share is of all
    characters but spaces. The upper bound allows `slack_chars` more, so a short text is not judged by one smiley.
    A text above it is read once more, and symbols that mean something no longer count: tables, trees, boards and
    drawings of several lines, rulers, gaps and leaders beside words, brackets that close, escapes and commands,
    operators between operands, pictures, notes, currencies, Braille and Morse. This does not hold for a text of many
    kinds of symbols, each about as frequent as the others: no notation is like that. A missing field is not judged.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ("question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["special_char_ratio"] = "special_char_ratio"
    min_ratio: float = Field(default=0.0, ge=0, le=1)
    """The smallest share that is kept."""
    max_ratio: float = Field(default=0.3, ge=0, le=1)
    """The largest share that is kept."""
    slack_chars: int = Field(default=2, ge=0)
    """How many special characters are allowed beyond `max_ratio`."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.min_ratio > self.max_ratio:
            raise ValueError(f"min_ratio {self.min_ratio} is above max_ratio {self.max_ratio}; swap them")
        return self

    def summary(self, language: Language) -> str:
        return "drops rows that are full of symbols" if language == "en" else "删除符号过多的样本"

    def build(self, resources: Resources) -> RowTransform:
        return self._filter

    def _filter(self, table: pa.Table) -> Transformed:
        drops: dict[str, np.ndarray] = {}
        for field in self.reads:
            texts = table[field].combine_chunks()
            special, visible = np.zeros((2, len(texts)), dtype=np.int64)
            counted = np.flatnonzero(self._may_fail(texts))
            special[counted], visible[counted] = special_char_counts(texts.take(pa.array(counted)))
            drops[f"special_char_ratio_below_min:{field}"] = special < self.min_ratio * visible
            drops[f"special_char_ratio_above_max:{field}"] = self._above_max(texts, special, visible)
        return keep_rows(table, drops)

    def _may_fail(self, texts: pa.Array) -> Bools:
        """Mask [N]: texts whose special characters must be told from punctuation, since both together are too many."""
        if self.min_ratio > 0:
            return np.ones(len(texts), dtype=bool)
        most, visible = most_special_chars(texts)
        mask: Bools = most > self.max_ratio * visible + self.slack_chars
        return mask

    def _above_max(self, texts: pa.Array, special: Int64, visible: Int64) -> Bools:
        """Mask [N]: texts that are above the upper bound still once their notation is understood."""
        above: Bools = special > self.max_ratio * visible + self.slack_chars
        doubtful = np.flatnonzero(above)
        for row, text in zip(doubtful, texts.take(doubtful).to_pylist(), strict=True):
            noise, seen = count_symbols(text)
            above[row] = noise > self.max_ratio * seen + self.slack_chars
        return above


def most_special_chars(texts: pa.Array) -> tuple[Int64, Int64]:
    """An upper bound of a text's special characters, punctuation among them, and its non-space ones, each int64 [N]."""
    is_ascii = pc.fill_null(pc.string_is_ascii(texts), True).to_numpy(zero_copy_only=False)
    special, visible = np.zeros((2, len(texts)), dtype=np.int64)
    for rows, count in ((np.flatnonzero(is_ascii), _of_ascii), (np.flatnonzero(~is_ascii), _of_others)):
        special[rows], visible[rows] = count(texts.take(pa.array(rows)).fill_null(""))
    return special, visible


def _of_ascii(texts: pa.Array) -> tuple[Int64, Int64]:
    data, offsets = bytes_of(texts)
    kinds = np.frombuffer(data.translate(_kinds_of_ascii()), dtype=np.uint8)
    special, spaces = (np.diff(np.searchsorted(np.flatnonzero(kinds == kind), offsets)) for kind in (_SPECIAL, _SPACE))
    return special, np.diff(offsets) - spaces


def _of_others(texts: pa.Array) -> tuple[Int64, Int64]:
    """Of texts of which none is empty."""
    points, offsets = code_points(texts)
    sums = np.add.reduceat(_special_and_spaces().take(points, mode="clip"), offsets[:-1]) if len(texts) else offsets[1:]
    return sums & (_ONE_SPACE - 1), np.diff(offsets) - sums // _ONE_SPACE


@cache
def _kinds_of_ascii() -> bytes:
    """What each byte is."""
    found = _special_and_spaces()[:128]
    kinds = np.zeros(256, dtype=np.uint8)
    kinds[:128] = np.where(found == _ONE_SPACE, _SPACE, found)
    return kinds.tobytes()


@cache
def _special_and_spaces() -> Int64:
    """By code point, what it adds to a sum of both numbers; the last entry stands for all beyond."""
    places = np.concatenate([np.arange(0xD800), np.arange(0xE000, _PLANE)])  # all but halves of pairs
    points = pa.array(map(chr, places.tolist()), pa.string())
    special, space = np.ones(_PLANE + 1, dtype=bool), np.zeros(_PLANE + 1, dtype=bool)
    for table, pattern in ((special, _MAYBE_SPECIAL), (space, r"\s")):
        table[places] = pc.match_substring_regex(points, pattern).to_numpy(zero_copy_only=False)
    found: Int64 = special + space * _ONE_SPACE
    return found


def special_char_counts(texts: pa.Array) -> tuple[Int64, Int64]:
    """Number of special and of all non-space characters per text, each int64 [N]; zeros for null.

    Takes every symbol for noise that touches no word, so it is an upper bound of what `count_symbols` finds.
    """
    readable = pc.replace_substring_regex(texts, MISREAD_RE2, "")
    misread = pc.subtract(pc.utf8_length(texts), pc.utf8_length(readable))
    special = pc.add(pc.utf8_length(pc.replace_substring_regex(readable, _ORDINARY, "")), misread)
    visible = pc.utf8_length(pc.replace_substring_regex(texts, r"\s+", ""))
    counts = [
        pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False).astype(np.int64) for lengths in (special, visible)
    ]
    return counts[0], counts[1]
