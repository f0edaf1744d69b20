"""Where a text runs in a loop: the same unit again at once, or the same line or sentence again and again.

Rows of a table, statements of a script and items of a list share words too, but each says something new: neither do
they repeat at one distance nor as whole lines. Every step is linear in the text, but for one sort of its n-grams.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from operators.texts.text import MULTIPLIER, UNSPACED_RANGES

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Segments = Sequence[Sequence[str]]
"""The units of each sentence or line of a text."""

MIN_ROUNDS = 3
"""A short unit loops from here on; what is said twice is emphasis."""
LONG_UNIT = 20
"""A unit of so many words loops when it comes a second time at once."""
MAX_PERIODS = 5
MIN_PERIOD_FRAC = 0.02
"""Share of the n-grams that come again at a distance, from which on it is looked at."""
MIN_SEGMENT_UNITS = 3
MAX_SEGMENT_COPIES = 2
"""A refrain may come again; further copies of it are a loop."""

MIN_TABLE_ROWS = 2
MIN_TABLE_CELLS = 2
MAX_TABLE_CELLS = 400
MIN_ROWS_ALIKE_FRAC = 0.6
MIN_CELL_FRAC = 0.8
MAX_CELL_CHARS = 3
NUM_FREQUENT_CELLS = 4
MIN_OPERATORS_PER_UNIT = 0.4
_OPERATOR = re.compile(r"[=<>+*/|^&~!\u2190-\u22ff\u27c0-\u27ff¬±×÷−-]+")
_CELL = re.compile(r"\w+")
_ROW_END = re.compile(r"\n|\\\\|\]|;")


def periodic_ratio(units: Sequence[str], *, size: int) -> float:
    """Share of the n-grams of `size` units that occurred before and stand where a unit comes again at once."""
    return _loop_ratio(units, size=size, copied=None)


def loop_ratio(segments: Segments, *, size: int) -> float:
    """The same where lines and sentences loop as well, in any order and behind running numbers."""
    segments = _without_counters(segments)
    units = [unit for segment in segments for unit in segment]
    return _loop_ratio(units, size=size, copied=_in_copied_segment(segments))


def _loop_ratio(units: Sequence[str], *, size: int, copied: Bools | None) -> float:
    numbers = _numbered(units)
    repeated, distances = _repeated_grams(numbers, size=size)
    if not len(repeated):
        return 0.0
    looping = _comes_again_at_once(numbers, distances)
    if copied is not None:
        looping |= copied
    before = np.concatenate(([0], np.cumsum(looping)))
    inside = before[size:] - before[:-size] == size
    return float((repeated & inside).mean())


def is_table_or_formula(text: str, units: Sequence[str]) -> bool:
    """Whether a text is a short formula, or rows of signs, numbers or few words: a matrix, a truth table, a board."""
    if len(units) > MAX_TABLE_CELLS:
        return False
    counts = Counter(units)
    if _are_signs(counts) and len(_OPERATOR.findall(text)) >= MIN_OPERATORS_PER_UNIT * len(units):
        return True
    return _num_cells(counts) >= MIN_CELL_FRAC * len(units) and _has_rows(text, signs=_are_signs(counts))


def _num_cells(counts: Counter[str]) -> int:
    """How many units could be cells: letters, short numbers, and the few words that are most frequent."""
    frequent = {unit for unit, _ in counts.most_common(NUM_FREQUENT_CELLS)}
    return sum(
        count
        for unit, count in counts.items()
        if unit in frequent or _is_letter(unit) or (unit.isdigit() and len(unit) <= MAX_CELL_CHARS)
    )


def _has_rows(text: str, *, signs: bool) -> bool:
    """Whether most rows are of one width, and not the same row again and again, unless they are of signs alone."""
    rows = [row.strip() for row in _ROW_END.split(text) if row.strip()]
    widths = Counter(width for width in (len(_CELL.findall(row)) for row in rows) if width)
    (width, alike), *_ = widths.most_common(1) or [(0, 0)]
    if width < MIN_TABLE_CELLS or alike < max(MIN_TABLE_ROWS, MIN_ROWS_ALIKE_FRAC * widths.total()):
        return False
    return signs or len(set(rows)) > len(rows) // 2


def _are_signs(units: Iterable[str]) -> bool:
    return all(_is_letter(unit) or unit.isdigit() for unit in units)


def _is_letter(unit: str) -> bool:
    """Whether a unit is a single letter of a script that puts spaces between words."""
    return len(unit) == 1 and ord(unit) < UNSPACED_RANGES[0][0]


def _numbered(units: Sequence[str]) -> Ints:
    """The units as numbers [N], equal for equal units."""
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    return np.array([numbers[unit] for unit in units], dtype=np.int64)


def _repeated_grams(numbers: Ints, *, size: int) -> tuple[Bools, list[int]]:
    """Which n-grams occurred before, mask [N - size + 1], and the most frequent distances between equal ones."""
    num_grams = max(len(numbers) - size + 1, 0)
    values = numbers.astype(np.uint64) + np.uint64(1)
    hashes = values[:num_grams].copy()
    for step in range(1, size):
        hashes *= MULTIPLIER
        hashes += values[step : step + num_grams]
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1])
    repeated = np.zeros(num_grams, dtype=bool)
    repeated[order[again + 1]] = True
    counts = np.bincount(order[again + 1] - order[again])
    frequent = np.flatnonzero(counts >= max(MIN_PERIOD_FRAC * num_grams, 1))
    return repeated, frequent[np.argsort(-counts[frequent], kind="stable")][:MAX_PERIODS].tolist()


def _comes_again_at_once(numbers: Ints, periods: Sequence[int]) -> Bools:
    """Mask [N] of the units of stretches in which all comes again at one of the distances, as often as a loop does."""
    looping = np.zeros(len(numbers), dtype=bool)
    for period in periods:
        rounds = 2 if period >= LONG_UNIT else MIN_ROUNDS
        if rounds * period > len(numbers):
            continue
        same = np.zeros(len(numbers) - period + 2, dtype=bool)
        same[1:-1] = numbers[period:] == numbers[:-period]
        stretches = np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2)
        for start, end in stretches[stretches[:, 1] - stretches[:, 0] >= (rounds - 1) * period]:
            looping[start : end + period] = True
    return looping


def _without_counters(segments: Segments) -> Segments:
    """The segments without the numbers in front of those that are said more often than a refrain."""
    said = [_said(segment) for segment in segments if segment]
    copies = Counter(said)
    kept: list[Sequence[str]] = []
    for segment, words in zip(filter(None, segments), said, strict=True):
        looping = len(words) >= MIN_SEGMENT_UNITS and copies[words] > MAX_SEGMENT_COPIES
        if looping and kept and not _said(kept[-1]):
            kept.pop()
        kept.append(words if looping else segment)
    return kept


def _said(segment: Sequence[str]) -> tuple[str, ...]:
    first = 0
    while first < len(segment) and segment[first].isdigit():
        first += 1
    return tuple(segment[first:])


def _in_copied_segment(segments: Segments) -> Bools:
    """Mask [N] of the units of lines and sentences that were said before more than once."""
    seen: Counter[tuple[str, ...]] = Counter()
    copied: list[bool] = []
    for segment in map(tuple, segments):
        seen[segment] += len(segment) >= MIN_SEGMENT_UNITS
        copied += [seen[segment] > MAX_SEGMENT_COPIES] * len(segment)
    return np.array(copied, dtype=bool)
