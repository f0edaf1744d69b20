"""How much of each text its n-grams repeat at most, for many texts at once.

Cuts texts into the same units as `split_units`, but knows units and n-grams by their hashes alone. Two that share a
hash count as the same one, so a bound is never below the ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.texts.text import JOINING_RANGES, MULTIPLIER, UNSPACED_RANGES, Int64, UInt32, UInt64, scramble

CHARACTERS_AT_ONCE = 1 << 16
"""So that what is computed of them stays in the processor's cache."""
TEXTS_AT_ONCE = 1 << 12
LAST_LETTER = 0x40000
"""From this code point on there is nothing of which a unit is made."""
_WORD, _JOINING, _UNSPACED = np.array([1, 2, 4], dtype=np.uint8)
_INSIDE = _WORD | _JOINING
_OWNER = np.uint64(44)
_INVERSE = np.uint64(pow(int(MULTIPLIER), -1, 1 << 64))

Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]


def repetition_bounds(texts: pa.Array, sizes: Callable[[Int64], Int64], *, max_unit: int) -> Float64:
    """An upper bound of each text's share of n-grams that occurred before in it [N]; 0 for null.

    `sizes` says of numbers of units of how many an n-gram of such a text is made. A text with a unit of more than
    `max_unit` characters is not judged: its bound is 1.
    """
    found = [_bounds(some, sizes, max_unit) for some in _portions(texts.fill_null("").to_pylist())]
    return np.concatenate(found) if found else np.zeros(0)


def _portions(texts: list[str]) -> Iterator[list[str]]:
    """The texts lower-cased, in lists of no more than a long text or many short ones."""
    portion: list[str] = []
    characters = 0
    for text in texts:
        portion.append(text.lower())
        characters += len(text)
        if characters >= CHARACTERS_AT_ONCE or len(portion) == TEXTS_AT_ONCE:
            yield portion
            portion, characters = [], 0
    if portion:
        yield portion


def _bounds(lower: list[str], sizes: Callable[[Int64], Int64], max_unit: int) -> Float64:
    points = np.frombuffer("\n".join([*lower, ""]).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    begins = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum([len(text) + 1 for text in lower])])
    starts, ends = _units(points)
    firsts = np.searchsorted(starts, begins)
    num_units = np.diff(firsts)
    size = sizes(num_units)
    total = np.maximum(num_units - size + 1, 0)
    distinct = _num_distinct(_hashes(points, starts, ends), firsts[:-1], size, total)
    bounds = 1.0 - distinct / np.maximum(total, 1)
    bounds[total == 0] = 0.0
    bounds[np.searchsorted(begins, starts[ends - starts > max_unit], side="right") - 1] = 1.0
    return bounds


def _units(points: UInt32) -> tuple[Int64, Int64]:
    """Where the units of text begin and end, both in order."""
    kinds = _kinds().take(points, mode="clip")
    inside = (kinds & _INSIDE).view(bool)
    if (kinds & _JOINING).any():
        places = np.arange(len(kinds))
        last_letter = np.maximum.accumulate(np.where(kinds == _WORD, places, -1))
        last_gap = np.maximum.accumulate(np.where(inside, -1, places))
        inside = inside & (last_letter > last_gap)  # a mark without a letter before it is part of no word
    alone = (kinds & _UNSPACED).view(bool)
    starts, ends = inside.copy(), inside.copy()
    starts[1:] &= ~inside[:-1]
    ends[:-1] &= ~inside[1:]
    return np.flatnonzero(starts | alone), np.flatnonzero(ends | alone) + 1


def _hashes(points: UInt32, starts: Int64, ends: Int64) -> UInt64:
    """A hash of the characters of each unit, whatever its place."""
    powers, inverses = _powers(1 << len(points).bit_length())
    before = np.zeros(len(points) + 1, dtype=np.uint64)
    np.cumsum(points * powers[: len(points)], out=before[1:])
    return scramble((before[ends] - before[starts]) * inverses[starts])


def _num_distinct(units: UInt64, firsts: Int64, sizes: Int64, totals: Int64) -> Int64:
    """How many different n-grams each text has [N]; its units begin at `firsts`."""
    keys = []
    grams = np.zeros(len(units), dtype=np.uint64)
    for step in range(int(sizes.max(initial=0))):
        grams = grams[: len(units) - step] * MULTIPLIER + units[step:]
        rows = np.flatnonzero((sizes == step + 1) & (totals > 0))
        if len(rows):
            lengths = totals[rows]
            places = np.arange(lengths.sum()) + np.repeat(firsts[rows] - np.cumsum(lengths) + lengths, lengths)
            owners = np.repeat(rows.astype(np.uint64) << _OWNER, lengths)
            keys.append(owners | (scramble(grams[places]) >> (np.uint64(64) - _OWNER)))
    ordered = np.sort(np.concatenate([np.zeros(0, dtype=np.uint64), *keys]))
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return np.bincount((ordered[new] >> _OWNER).astype(np.int64), minlength=len(sizes))


@cache
def _kinds() -> UInt8:
    """What each code point is to units; the last entry stands for all beyond."""
    kinds = np.zeros(LAST_LETTER + 1, dtype=np.uint8)
    for low, high in JOINING_RANGES:
        kinds[low : high + 1] = _JOINING
    is_word = np.fromiter(map(str.isalnum, map(chr, range(LAST_LETTER))), dtype=bool, count=LAST_LETTER)
    kinds[:-1][is_word] = _WORD
    for low, high in UNSPACED_RANGES:
        kinds[low : high + 1] = _UNSPACED
    return kinds


@lru_cache(maxsize=4)
def _powers(length: int) -> tuple[UInt64, UInt64]:
    """The powers of the multiplier and of its inverse, modulo 2^64."""
    first, second = (
        np.multiply.accumulate(np.concatenate([np.ones(1, dtype=np.uint64), np.full(length, base)]))
        for base in (MULTIPLIER, _INVERSE)
    )
    return first, second
