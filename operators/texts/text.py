"""What scripts a text is written in, its n-gram units, and its shingles.

Knows nothing of records. Texts in scripts that put no space between words (Chinese, Japanese, Thai, ...) are cut by
characters, all others by words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

RECENT_TEXTS = 64
"""How many texts an answer is remembered for: a row is cleaned until nothing changes, and asks the same again."""

UNSPACED_RANGES: tuple[tuple[int, int], ...] = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # CJK radicals
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x3FFFF),
)
"""Code points of scripts whose words are not separated by spaces."""

UNSPACED_RE2 = "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in UNSPACED_RANGES)
"""The same as the inside of an RE2 character class, for Arrow's kernels."""


def class_of(ranges: Iterable[tuple[int, int]]) -> str:
    """Ranges of code points as the inside of a character class for `re`."""
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)


_UNSPACED_PLANES = 0x20000
"""From here on there are Chinese characters and no letters of other scripts."""


def _joining_ranges() -> list[tuple[int, int]]:
    """Code points that belong to the word around them and that `\\w` lacks: marks, vowel signs, the two joiners."""
    ranges = [(0x200C, 0x200D)]
    for point in range(0x300, _UNSPACED_PLANES):
        if unicodedata.category(chr(point))[0] == "M" and not any(
            low <= point <= high for low, high in UNSPACED_RANGES
        ):
            low, high = ranges[-1]
            ranges[-1:] = [(low, point)] if point == high + 1 else [(low, high), (point, point)]
    return ranges


JOINING_RANGES = _joining_ranges()
JOINING = class_of(JOINING_RANGES)
"""Marks and joiners as the inside of a character class: what makes up words beside `\\w`."""
_UNSPACED = class_of(UNSPACED_RANGES)
_ASCII_WORDS = "".join(chr(point) if chr(point).isalnum() else " " for point in range(128))
"""ASCII with a space for all that is part of no word, for `str.translate`."""
_UNIT = re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]++[{JOINING}]*+)++")

CHARACTER_SHINGLE = 4
WORD_SHINGLE = 3
MIN_SHINGLED_WORDS = 6
"""Shorter texts are shingled by characters: three words make too few word shingles to compare."""
MAX_UNSPACED_FRAC = 0.2

WINDOWS_AT_ONCE = 1 << 14
"""So that what is computed of them stays in the processor's cache."""
_ONE_SPACE = 1 << 32
"""A space in a sum of which the lower half counts characters of unspaced scripts: both are counted at once."""

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

UInt32 = npt.NDArray[np.uint32]
UInt64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]


def folded(text: str) -> str:
    """The text in lower case, where what `re.IGNORECASE` takes for an ASCII letter is that letter.

    To look for the words that a pattern needs takes microseconds, where the pattern takes hundreds of them.
    """
    lower = text.lower()
    if lower.isascii():
        return lower
    return lower.replace("i\u0307", "i").replace("\u0131", "i").replace("\u017f", "s")


def holds_any(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words stands in a text, be it within another."""
    for word in words:  # noqa: SIM110 - half the time of any(), and this is asked of every line of a page
        if word in text:
            return True
    return False


def split_units(text: str) -> list[str]:
    """The units that n-grams are made of: lower-cased words, and single characters of unspaced scripts.

    Vowel signs and other marks belong to their word, as Indic scripts, Arabic and Hebrew write it.
    """
    lower = text.lower()
    return lower.translate(_ASCII_WORDS).split() if lower.isascii() else _UNIT.findall(lower)


def unspaced_fracs(texts: pa.Array) -> npt.NDArray[np.float64]:
    """Share of each text's non-space characters that belong to an unspaced script [N]; 0 for an empty or null text."""
    fracs = np.zeros(len(texts), dtype=np.float64)
    rows = np.flatnonzero(pc.invert(pc.fill_null(pc.string_is_ascii(texts), True)).to_numpy(zero_copy_only=False))
    points, offsets = code_points(texts.take(pa.array(rows)))
    if len(rows):
        sums = np.add.reduceat(_unspaced_and_spaces().take(points, mode="clip"), offsets[:-1])
        unspaced, spaces = sums & (_ONE_SPACE - 1), sums // _ONE_SPACE
        fracs[rows] = unspaced / np.maximum(np.diff(offsets) - spaces, 1)
    return fracs


@cache
def _unspaced_and_spaces() -> Int64:
    """By code point, what it adds to a sum of both numbers; the last entry stands for all beyond."""
    table = np.zeros(UNSPACED_RANGES[-1][1] + 2, dtype=np.int64)
    for low, high in UNSPACED_RANGES:
        table[low : high + 1] = 1
    table[[ord(space) for space in "\t\n\f\r "]] = _ONE_SPACE  # what RE2 calls space
    return table


def code_points(texts: pa.Array) -> tuple[UInt32, Int64]:
    """The characters of all texts, one after the other, and where each text begins [N + 1]; null is as empty."""
    texts = texts.fill_null("")
    points = np.frombuffer(bytes_of(texts)[0].decode().encode("utf-32-le"), dtype=np.uint32)
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False)
    return points, np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def without_spaces(texts: pa.Array) -> tuple[UInt32, Int64]:
    """The characters of all texts but U+0020, one after the other, and how many each text has [N]."""
    points, offsets = code_points(texts)
    is_space = points == ord(" ")
    places = np.flatnonzero(is_space)
    return points[~is_space], np.diff(offsets) - np.diff(np.searchsorted(places, offsets))


def bytes_of(texts: pa.Array) -> tuple[bytes, Int64]:
    """The bytes of all texts, one after the other, and where each begins [N + 1]; there is no null among them."""
    texts = texts.cast(pa.large_string())
    if not len(texts):
        return b"", np.zeros(1, dtype=np.int64)
    _, begins, data = texts.buffers()
    offsets = np.frombuffer(begins, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    found: bytes = b"" if data is None else data.slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes()
    return found, offsets - offsets[0]


def num_spaces(texts: pa.Array) -> Int64:
    """How often U+0020 stands in each text [N]; null is as empty."""
    data, offsets = bytes_of(texts.fill_null(""))
    places = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord(" "))
    return np.diff(np.searchsorted(places, offsets))


def is_cut_by_words(normalised: pa.Array) -> npt.NDArray[np.bool_]:
    """Mask [N] of the normalised texts whose units are words; those of the others are characters."""
    has_words = num_spaces(normalised) + 1 >= MIN_SHINGLED_WORDS
    mask: npt.NDArray[np.bool_] = has_words & (unspaced_fracs(normalised) < MAX_UNSPACED_FRAC)
    return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What stands between the spaces of N normalised texts."""

    known: pa.Array
    """Every different word [K]; one that is the last of a text may be there twice."""
    hashes: UInt64
    """Of every known word [K]."""
    indices: Int64
    """Which of them the words of all texts are, one text after the other."""
    sizes: Int64
    """Words of each text [N]; one, though empty, of an empty text."""
    are_units: npt.NDArray[np.bool_]
    """Mask of the texts that are cut by words [N]."""

    @classmethod
    def of(cls, texts: pa.Array, *, are_units: npt.NDArray[np.bool_] | None = None) -> Words:
        """Those of texts among which is no null; `are_units` is what `is_cut_by_words` says, where it is known."""
        data, offsets = bytes_of(texts)
        spaces = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord(" "))
        ends = np.sort(np.concatenate([spaces + 1, offsets[1:]]), kind="stable")
        begins = pa.py_buffer(np.concatenate([offsets[:1], ends]))
        encoded = pc.dictionary_encode(pa.LargeStringArray.from_buffers(len(ends), begins, pa.py_buffer(data)))
        known = pc.utf8_rtrim(encoded.dictionary, " ")
        hashes = list(map(xxhash.xxh3_64_intdigest, known.cast(pa.large_binary()).to_pylist()))
        return cls(
            known=known,
            hashes=np.array(hashes, dtype=np.uint64),
            indices=encoded.indices.to_numpy().astype(np.int64),
            sizes=np.diff(np.searchsorted(spaces, offsets)) + 1,
            are_units=is_cut_by_words(texts) if are_units is None else are_units,
        )

    def units(self) -> UInt64:
        """The hashes of all words of the texts that are cut by words."""
        found: UInt64 = self.hashes[self.indices[np.repeat(self.are_units, self.sizes)]]
        return found


def text_keys(texts: pa.Array, normalised: pa.Array) -> UInt64:
    """64-bit key of each normalised text as uint64 [N]; 0 for a null or blank text.

    A text of nothing but punctuation is keyed by itself, so only its exact copies share the key.
    """
    written = normalised.fill_null("").cast(pa.large_binary())
    keys = np.array(list(map(xxhash.xxh3_64_intdigest, written.to_pylist())), dtype=np.uint64)
    keys[keys == 0] = 1
    blank = np.flatnonzero(pc.equal(pc.binary_length(written), 0).to_numpy(zero_copy_only=False))
    keys[blank] = [
        (xxhash.xxh3_64_intdigest(f"\x00{raw}".encode()) or 1) if raw is not None and raw.strip() else 0
        for raw in texts.take(pa.array(blank)).to_pylist()
    ]
    return keys


def shingle(normalised: pa.Array, words: Words | None = None) -> tuple[UInt32, Int64]:
    """Hashed shingles of each normalised text: sorted distinct uint32 values, and int64 offsets [N + 1] into them.

    Words are shingled by 3 and characters by 4, both padded at the ends, so that a change of the last word weighs as
    much as one in the middle. Texts of mostly unspaced script, and short ones, are shingled by characters. `words` are
    those of the texts, where they are known.
    """
    texts = normalised.fill_null("")
    words = words or Words.of(texts)
    word_rows = np.flatnonzero(words.are_units)
    character_rows = np.flatnonzero(~words.are_units & (pc.binary_length(texts).to_numpy(zero_copy_only=False) > 0))
    parts = [
        _shingles_of_units(words.units(), words.sizes[word_rows], word_rows, size=WORD_SHINGLE),
        _character_shingles(texts.take(character_rows), character_rows),
    ]
    combined = np.concatenate(parts)
    combined.sort()
    is_new = np.ones(len(combined), dtype=bool)
    np.not_equal(combined[1:], combined[:-1], out=is_new[1:])
    combined = combined[is_new]
    offsets = np.searchsorted(combined, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(32))
    return (combined & np.uint64(0xFFFFFFFF)).astype(np.uint32), offsets.astype(np.int64)


def _character_shingles(texts: pa.Array, rows: Int64) -> UInt64:
    points, lengths = without_spaces(texts)
    return _shingles_of_units(points.astype(np.uint64), lengths, rows, size=CHARACTER_SHINGLE)


def _shingles_of_units(units: UInt64, lengths: Int64, rows: Int64, *, size: int) -> UInt64:
    """Row number << 32 | shingle hash for every padded window of `size` units; `lengths` are units per row."""
    if len(rows) == 0:
        return np.zeros(0, dtype=np.uint64)
    pad = size - 1
    padded = np.zeros(len(units) + (len(rows) + 1) * pad, dtype=np.uint64)
    starts = np.repeat((np.arange(len(rows), dtype=np.int64) + 1) * pad, lengths)
    padded[np.arange(len(units), dtype=np.int64) + starts] = units + np.uint64(1)
    shingles: UInt64 = np.repeat(rows.astype(np.uint64) << np.uint64(32), lengths + pad)
    for low in range(0, len(shingles), WINDOWS_AT_ONCE):
        piece = shingles[low : low + WINDOWS_AT_ONCE]
        hashes = padded[low : low + len(piece)]
        for step in range(low + 1, low + size):
            hashes = hashes * MULTIPLIER + padded[step : step + len(piece)]
        piece |= scramble(hashes) >> np.uint64(32)
    return shingles


def scramble(values: UInt64) -> UInt64:
    """Each value with its bits mixed; a bijection."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(31))
