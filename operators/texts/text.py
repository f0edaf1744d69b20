"""What scripts a text is written in, its n-gram units, and its shingles.

Knows nothing of records. Texts in scripts that put no space between words (Chinese, Japanese, Thai, ...) are cut by
characters, all others by words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

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


JOINING = class_of(_joining_ranges())
"""Marks and joiners as the inside of a character class: what makes up words beside `\\w`."""
_UNSPACED = class_of(UNSPACED_RANGES)
_ASCII_UNIT = re.compile(r"[^\W_]+", re.ASCII)
_UNIT = re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]++[{JOINING}]*+)++")

_PUNCTUATION = r"""[\s.,!?;:'"()\[\]{}`_~。、·…‘’“”«»‹›《》〈〉「」『』【】〔〕—–]+"""
_DECIMAL = r"(\d)[.,:](\d)"
_KEPT_DECIMAL = "\\1\u2024\\2"

CHARACTER_SHINGLE = 4
WORD_SHINGLE = 3
MIN_SHINGLED_WORDS = 6
"""Shorter texts are shingled by characters: three words make too few word shingles to compare."""
MAX_UNSPACED_FRAC = 0.2

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
    return any(word in text for word in words)


def split_units(text: str) -> list[str]:
    """The units that n-grams are made of: lower-cased words, and single characters of unspaced scripts.

    Vowel signs and other marks belong to their word, as Indic scripts, Arabic and Hebrew write it.
    """
    return (_ASCII_UNIT if text.isascii() else _UNIT).findall(text.lower())


def unspaced_fracs(texts: pa.Array) -> npt.NDArray[np.float64]:
    """Share of each text's non-space characters that belong to an unspaced script [N]; 0 for an empty or null text."""
    unspaced = pc.fill_null(pc.count_substring_regex(texts, f"[{UNSPACED_RE2}]"), 0)
    visible = pc.fill_null(pc.utf8_length(pc.replace_substring_regex(texts, r"\s+", "")), 0)
    counts = unspaced.to_numpy(zero_copy_only=False).astype(np.float64)
    fracs: npt.NDArray[np.float64] = counts / np.maximum(visible.to_numpy(zero_copy_only=False), 1)
    return fracs


def is_cut_by_words(normalised: pa.Array) -> npt.NDArray[np.bool_]:
    """Mask [N] of the normalised texts whose units are words; those of the others are characters."""
    spaces = pc.fill_null(pc.count_substring(normalised, " "), 0).to_numpy(zero_copy_only=False)
    mask: npt.NDArray[np.bool_] = (spaces + 1 >= MIN_SHINGLED_WORDS) & (unspaced_fracs(normalised) < MAX_UNSPACED_FRAC)
    return mask


def normalise(texts: pa.Array) -> pa.Array:
    """Texts as they are compared: NFKC, lower case, sentence punctuation and runs of space as one space.

    A separator between two digits stays, so `1.5` and `15` differ; symbols such as `+` and `#` stay as well.
    """
    result = pc.utf8_lower(pc.utf8_normalize(texts.cast(pa.large_string()), form="NFKC"))
    for _ in range(2):  # neighbours overlap in 1.2.3
        result = pc.replace_substring_regex(result, _DECIMAL, _KEPT_DECIMAL)
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(result, _PUNCTUATION, " "))


def text_keys(texts: pa.Array, normalised: pa.Array) -> UInt64:
    """64-bit key of each normalised text as uint64 [N]; 0 for a null or blank text.

    A text of nothing but punctuation is keyed by itself, so only its exact copies share the key.
    """
    keys = np.zeros(len(texts), dtype=np.uint64)
    for row, (raw, text) in enumerate(zip(texts.to_pylist(), normalised.to_pylist(), strict=True)):
        if text:
            keys[row] = xxhash.xxh3_64_intdigest(text.encode()) or 1
        elif raw is not None and raw.strip():
            keys[row] = xxhash.xxh3_64_intdigest(f"\x00{raw}".encode()) or 1
    return keys


def shingle(normalised: pa.Array) -> tuple[UInt32, Int64]:
    """Hashed shingles of each normalised text: sorted distinct uint32 values, and int64 offsets [N + 1] into them.

    Words are shingled by 3 and characters by 4, both padded at the ends, so that a change of the last word weighs as
    much as one in the middle. Texts of mostly unspaced script, and short ones, are shingled by characters.
    """
    texts = normalised.fill_null("")
    words = pc.split_pattern(texts, " ")
    num_words = pc.list_value_length(words).to_numpy(zero_copy_only=False)
    by_word = (num_words >= MIN_SHINGLED_WORDS) & (unspaced_fracs(texts) < MAX_UNSPACED_FRAC)
    word_rows = np.flatnonzero(by_word)
    character_rows = np.flatnonzero(~by_word & (pc.utf8_length(texts).to_numpy(zero_copy_only=False) > 0))
    parts = [
        _shingles_of_units(_word_hashes(words.take(word_rows)), num_words[word_rows], word_rows, size=WORD_SHINGLE),
        _character_shingles(texts.take(character_rows), character_rows),
    ]
    combined = np.sort(np.concatenate(parts))
    combined = combined[np.flatnonzero(np.diff(combined, prepend=~combined[:1]))]
    offsets = np.searchsorted(combined, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(32))
    return (combined & np.uint64(0xFFFFFFFF)).astype(np.uint32), offsets.astype(np.int64)


def _word_hashes(words: pa.Array) -> UInt64:
    encoded = pc.dictionary_encode(words.flatten())
    hashes = [xxhash.xxh3_64_intdigest(word.encode()) for word in encoded.dictionary.to_pylist()]
    return np.array(hashes, dtype=np.uint64)[encoded.indices.to_numpy()] if hashes else np.zeros(0, dtype=np.uint64)


def _character_shingles(texts: pa.Array, rows: Int64) -> UInt64:
    unspaced = pc.replace_substring(texts, " ", "")
    lengths = pc.utf8_length(unspaced).to_numpy(zero_copy_only=False)
    points = np.frombuffer("".join(unspaced.to_pylist()).encode("utf-32-le"), dtype=np.uint32)
    return _shingles_of_units(points.astype(np.uint64), lengths, rows, size=CHARACTER_SHINGLE)


def _shingles_of_units(units: UInt64, lengths: Int64, rows: Int64, *, size: int) -> UInt64:
    """Row number << 32 | shingle hash for every padded window of `size` units; `lengths` are units per row."""
    if len(rows) == 0:
        return np.zeros(0, dtype=np.uint64)
    pad = size - 1
    padded = np.zeros(len(units) + (len(rows) + 1) * pad, dtype=np.uint64)
    starts = np.repeat((np.arange(len(rows), dtype=np.int64) + 1) * pad, lengths)
    padded[np.arange(len(units), dtype=np.int64) + starts] = units + np.uint64(1)
    num_windows = len(padded) - pad
    hashes = np.zeros(num_windows, dtype=np.uint64)
    for step in range(size):
        hashes = scramble(hashes * MULTIPLIER + padded[step : step + num_windows])
    owners = np.repeat(rows.astype(np.uint64), lengths + pad)
    return (owners << np.uint64(32)) | (hashes >> np.uint64(32))


def scramble(values: UInt64) -> UInt64:
    """Each value with its bits mixed; a bijection."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(31))
