"""Drops rows whose text runs in a loop.

Knows n-grams of words, and of characters for scripts without spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from operators.base import Needs, Operator, Resources, RowTransform, Scope, keep_rows
from operators.text import split_units

LONG_TEXT_UNITS = 100
"""From here on n grows by one with every doubling, since a long text repeats short n-grams by chance."""


class NgramRepetition(Operator):
    """Keeps rows whose n-gram repetition ratio lies in [min_ratio, max_ratio] in question and in answer.

    The ratio is the share of n-grams that occurred before in the same text: 0.5 and more once everything is said
    three times, under 0.5 when it is said twice. Units are lower-cased words, or characters of scripts without spaces.
    Texts of fewer than `min_units` units and missing fields are not judged.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    scope: ClassVar[Scope] = Scope.ROW
    reads: ClassVar[tuple[str, ...]] = ("question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["ngram_repetition"] = "ngram_repetition"
    ngram_size: int = Field(default=3, ge=1)
    """Units of an n-gram; long texts are judged by longer ones."""
    min_ratio: float = Field(default=0.0, ge=0, le=1)
    """Least ratio."""
    max_ratio: float = Field(default=0.4, ge=0, le=1)
    """Largest ratio."""
    min_units: int = Field(default=6, ge=1)
    """Shorter texts are not judged."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.min_ratio > self.max_ratio:
            raise ValueError(f"min_ratio {self.min_ratio} is above max_ratio {self.max_ratio}; swap them")
        return self

    def build(self, resources: Resources) -> RowTransform:
        return self._filter

    def _filter(self, table: pa.Table) -> pa.Table:
        drops: dict[str, np.ndarray] = {}
        for field in self.reads:
            ratios = np.array([self._ratio(text) for text in table[field].to_pylist()], dtype=np.float64)
            drops[f"ngram_repetition_below_min:{field}"] = ratios < self.min_ratio
            drops[f"ngram_repetition_above_max:{field}"] = ratios > self.max_ratio
        return keep_rows(table, drops)

    def _ratio(self, text: str | None) -> float:
        """The repetition ratio; NaN, which no bound excludes, for a text that is not judged."""
        if text is None or len(text) < self.min_units:
            return float("nan")
        units = split_units(text)
        if len(units) < self.min_units:
            return float("nan")
        return repetition_ratio(units, size=self.ngram_size + (len(units) // LONG_TEXT_UNITS).bit_length())


def repetition_ratio(units: Sequence[str], *, size: int) -> float:
    """Share of the n-grams of `size` units that occurred before; 0 where there are none."""
    total = len(units) - size + 1
    if total < 1:
        return 0.0
    return 1.0 - len(set(zip(*(units[start:] for start in range(size)), strict=False))) / total
