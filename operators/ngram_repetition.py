"""Drops rows whose text runs in a loop.

Knows n-grams of words, and of characters for scripts without spaces. What a loop is, as against rows and refrains, says
`operators/texts/loops.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from operators.contract.counts import Transformed, keep_rows
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Language, Resources
from operators.texts.gram_bounds import repetition_bounds
from operators.texts.layout import is_drawing
from operators.texts.loops import MAX_SEGMENT_COPIES, is_table_or_formula, loop_ratio, periodic_ratio
from operators.texts.text import Int64, split_units

Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

LONG_TEXT_UNITS = 100
"""From here on n grows by one with every doubling, since a long text repeats short n-grams by chance."""
LONG_WORD_CHARS = 30
LETTERS_PER_KIND = 3
"""A longer word of so many letters for each kind of them is no word; it is judged by its characters."""

_SEGMENT_END = re.compile(r"(?:[\n!?;。！？；…।۔؟]|\.(?!\d))+")
_BULLETS = " \t\r0123456789-*+#>•·:)"
_NUMBER = re.compile(r"\d")
_PICTURES = re.compile(f"[\u2600-\u2653\u2660-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]{{{LONG_WORD_CHARS},}}")


class NgramRepetition(RowOperator):
    """Keeps rows whose n-gram repetition ratio lies in [min_ratio, max_ratio] in question and in answer.

    The ratio is the share of n-grams that occurred before in the same text and stand in a loop: where a unit comes
    three times or more without anything between (a long one twice), or in a line or sentence that was said twice
    before. It is 0.5 and more once everything is said three times. Rows, lists, statements and refrains share n-grams
    too, but do not loop; tables of single signs, numbers or few words, and drawings, are not judged. Units are
    lower-cased words, or characters of scripts without spaces and of endless words. Texts of fewer than `min_units`
    units and missing fields are not judged.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ("question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["ngram_repetition"] = "ngram_repetition"
    ngram_size: int = Field(default=3, ge=1)
    """How many units an n-gram has; long texts are judged by longer ones."""
    min_ratio: float = Field(default=0.0, ge=0, le=1)
    """The smallest ratio that is kept."""
    max_ratio: float = Field(default=0.4, ge=0, le=1)
    """The largest ratio that is kept."""
    min_units: int = Field(default=6, ge=1)
    """How many units a text needs to be judged."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.min_ratio > self.max_ratio:
            raise ValueError(f"min_ratio {self.min_ratio} is above max_ratio {self.max_ratio}; swap them")
        return self

    def summary(self, language: Language) -> str:
        return "drops rows that are full of repetition" if language == "en" else "删除重复过多的样本"

    def build(self, resources: Resources) -> RowTransform:
        return self._filter

    def _filter(self, table: pa.Table) -> Transformed:
        drops: dict[str, np.ndarray] = {}
        for field in self.reads:
            ratios = self._ratios(table[field].combine_chunks())
            drops[f"ngram_repetition_below_min:{field}"] = ratios < self.min_ratio
            drops[f"ngram_repetition_above_max:{field}"] = ratios > self.max_ratio
        return keep_rows(table, drops)

    def _ratios(self, texts: pa.Array) -> Float64:
        """The ratio of each text [N]; where a bound of it says that the text is kept, 0."""
        ratios = np.zeros(len(texts))
        judged = np.arange(len(texts)) if self.min_ratio > 0 else np.flatnonzero(self._may_fail(texts))
        ratios[judged] = [self._ratio(text) for text in texts.take(pa.array(judged)).to_pylist()]
        return ratios

    def _may_fail(self, texts: pa.Array) -> Bool:
        """Mask [N] of the texts that `_is_doubtful` may call so, or whose units are more than words."""
        bounds = repetition_bounds(texts, self._sizes, max_unit=LONG_WORD_CHARS)
        pictured = pc.fill_null(pc.match_substring_regex(texts, _PICTURES.pattern), False)
        mask: Bool = (bounds > self.max_ratio / 2) | pictured.to_numpy(zero_copy_only=False)
        return mask

    def _sizes(self, num_units: Int64) -> Int64:
        """Units of an n-gram in texts of so many units."""
        return self.ngram_size + np.frexp(num_units // LONG_TEXT_UNITS)[1].astype(np.int64)

    def _ratio(self, text: str | None) -> float:
        """The repetition ratio; NaN, which no bound excludes, for a text that is not judged."""
        if text is None or len(text) < self.min_units:
            return float("nan")
        units = _units(text)
        if len(units) < self.min_units:
            return float("nan")
        size = int(self._sizes(np.array(len(units))))
        if self.min_ratio <= 0 and not self._is_doubtful(text, units, size=size):
            return 0.0  # the share in loops is less still
        if is_table_or_formula(text, units) or is_drawing(text):
            return float("nan")
        ratio = periodic_ratio(units, size=size)
        if ratio > self.max_ratio:
            return ratio
        parts = _SEGMENT_END.split(text)
        copies = Counter(part.strip(_BULLETS).lower() for part in parts if len(part) > 1)
        if max(copies.values(), default=0) <= MAX_SEGMENT_COPIES:
            return ratio
        return loop_ratio([_units(part) for part in parts], size=size)

    def _is_doubtful(self, text: str, units: Sequence[str], *, size: int) -> bool:
        """Whether a text may be a loop; running numbers between its rounds hide up to half of what it repeats."""
        if len(units) - len(set(units)) <= self.max_ratio / 2 * (len(units) - size + 1):
            return False  # an n-gram that starts with a new unit is new
        ratio = repetition_ratio(units, size=size)
        return ratio > self.max_ratio or (ratio > self.max_ratio / 2 and _NUMBER.search(text) is not None)


def repetition_ratio(units: Sequence[str], *, size: int) -> float:
    """Share of the n-grams of `size` units that occurred before, in a loop or not; 0 where there are none."""
    total = len(units) - size + 1
    if total < 1:
        return 0.0
    return 1.0 - len(set(zip(*(units[start:] for start in range(size)), strict=False))) / total


def _units(text: str) -> list[str]:
    """Words, with endless words cut into their characters; or the pictures of a text that is rather made of them."""
    units = split_units(text)
    if len(text) > LONG_WORD_CHARS and max(map(len, units), default=0) > LONG_WORD_CHARS:
        units = [part for unit in units for part in (unit if _is_endless(unit) else (unit,))]
    if not text.isascii():
        pictures = [picture for run in _PICTURES.findall(text) for picture in run]
        units = pictures if len(pictures) > len(units) else units
    return units


def _is_endless(word: str) -> bool:
    """Whether a word is too long for one and made of few letters."""
    return len(word) > LONG_WORD_CHARS and len(set(word)) * LETTERS_PER_KIND <= len(word)
