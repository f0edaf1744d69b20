"""The geometry of a forest plot: where scores, intervals and ticks stand on one shared axis, in percent of its width.

Knows numbers only; the template draws them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_MAX_TICKS = 7
_MARGIN_FRAC = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A linear axis from `low` to `high` that holds zero, with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    decimals: int
    """How many decimals tell two scores on this axis apart."""

    def at(self, value: float) -> float:
        """Place of a value on the axis, in percent from its left end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def signed(self, value: float) -> str:
        """The value with its sign, a true minus, and the decimals of this axis."""
        return signed(value, decimals=self.decimals)


def signed(value: float, *, decimals: int = 3) -> str:
    """A number with its sign and a true minus; what rounds to zero has no sign."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def axis_over(values: Iterable[float]) -> Axis:
    """The axis that shows all values and zero, with a small margin."""
    shown = [0.0, *values]
    low, high = min(shown), max(shown)
    if low == high:
        low, high = -1.0, 1.0
    margin = _MARGIN_FRAC * (high - low)
    low, high = low - margin, high + margin
    step = _round_step((high - low) / _MAX_TICKS)
    ticks = tuple(step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1))
    return Axis(low=low, high=high, ticks=ticks, decimals=min(8, max(3, 1 - math.floor(math.log10(step)))))


def _round_step(smallest: float) -> float:
    """The lowest of 1, 2, 5 times a power of ten that is not below `smallest`."""
    power = 10.0 ** math.floor(math.log10(smallest))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= smallest))
