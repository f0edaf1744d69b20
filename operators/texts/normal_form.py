"""Texts as they are compared: one spelling for characters, case, spaces and sentence punctuation.

Arrow's kernels say what that is. Most characters come out the same wherever they stand, so a table of what the kernels
make of each of them does the same work for whole arrays of texts; a text with any other character goes to the kernels.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.texts.text import Int64, bytes_of, code_points

_PUNCTUATION = r"""[\s.,!?;:'"()\[\]{}`_~。、·…‘’“”«»‹›《》〈〉「」『』【】〔〕—–]+"""
_DECIMAL = r"(\d)[.,:](\d)"
_KEPT_DECIMAL = "\\1\u2024\\2"
_MARK = r"[\p{M}\x{FF9E}\x{FF9F}]"
"""A mark, or what becomes one."""
_MARKS_IN_A_ROW = 30
"""They are sorted one by one, so a run of n marks takes n * n steps; behind so many a joiner ends the run (Stream-Safe
Text Format, Unicode Standard Annex 15)."""
_MANY_MARKS = f"({_MARK}{{{_MARKS_IN_A_ROW}}})"
_MARKS_AND_JOINER = "\\1\u034f"

_KEPT_SIGN = 0x2024
_KEPT_BYTE = 0x80
"""Stands for a kept separator among ASCII."""
_PLANE = 0x10000
"""Characters from here on go to the kernels."""
_HANGUL_PARTS = (slice(0x1100, 0x1200), slice(0xA960, 0xA980), slice(0xD7B0, 0xD800))
_JOINING = ("Mn", "Mc", "Me", "Cs")
_SPACE, _SEPARATOR, _DIGIT = np.uint8(1), np.uint8(2), np.uint8(4)

CodeUnits = npt.NDArray[Any]
"""Characters as UTF-16, or as ASCII in bytes."""
UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]
Bool = npt.NDArray[np.bool_]


def normalise(texts: pa.Array) -> pa.Array:
    """Texts as they are compared: NFKC, lower case, sentence punctuation and runs of space as one space.

    A separator between two digits stays, so `1.5` and `15` differ; symbols such as `+` and `#` stay as well.
    """
    texts = texts.cast(pa.large_string())
    filled = texts.fill_null("")
    is_ascii = pc.string_is_ascii(filled).to_numpy(zero_copy_only=False)
    parts = [_of_ascii(filled.filter(pa.array(is_ascii))), _of_others(filled.filter(pa.array(~is_ascii)))]
    order = np.argsort(np.concatenate([np.flatnonzero(is_ascii), np.flatnonzero(~is_ascii)]), kind="stable")
    result = parts[0] if is_ascii.all() else pa.concat_arrays(parts).take(pa.array(order))
    return result if texts.null_count == 0 else pc.if_else(texts.is_valid(), result, pa.scalar(None, result.type))


def by_kernels(texts: pa.Array) -> pa.Array:
    """The same by Arrow's kernels alone, which is what `normalise` means."""
    result = _one_form(texts)
    for _ in range(2):  # neighbours overlap in 1.2.3
        result = pc.replace_substring_regex(result, _DECIMAL, _KEPT_DECIMAL)
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(result, _PUNCTUATION, " "))


def _one_form(texts: pa.Array) -> pa.Array:
    if _may_hold_many_marks(texts):
        texts = pc.replace_substring_regex(texts, _MANY_MARKS, _MARKS_AND_JOINER)
    return pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))


def _may_hold_many_marks(texts: pa.Array) -> bool:
    """Whether so many marks stand in a row; to compile their pattern takes longer than to normalise most batches."""
    points, _ = code_points(texts)
    others = np.flatnonzero(~_marks().take(points, mode="clip"))
    return bool(np.diff(others, prepend=-1, append=len(points)).max() > _MARKS_IN_A_ROW)


@cache
def _marks() -> Bool:
    """Mask of the characters that are marks; the last entry stands for all beyond, where there are some."""
    points = [point for point in range(_PLANE) if not 0xD800 <= point < 0xE000]
    mask = np.ones(_PLANE + 1, dtype=bool)
    found = pc.match_substring_regex(pa.array(map(chr, points), pa.large_string()), _MARK)
    mask[points] = found.to_numpy(zero_copy_only=False)
    return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """By character."""

    forms: UInt16
    """What becomes of it wherever it stands; 0 where that depends on its neighbours, or is not one character."""
    kinds: UInt8
    """Whether it becomes a space, be it as punctuation; a separator that stays between digits; a digit."""


@cache
def _tables() -> _Tables:
    alone = _standing_alone()
    points = np.flatnonzero(alone)
    shown = _one_form(pa.array(map(chr, points.tolist()), pa.large_string()))
    is_one = pc.equal(pc.utf8_length(shown), 1).to_numpy(zero_copy_only=False)
    points, shown = points[is_one], shown.filter(pa.array(is_one))
    found = code_points(shown)[0].astype(np.int64)
    is_space = pc.match_substring_regex(shown, _PUNCTUATION).to_numpy(zero_copy_only=False)
    is_trimmed = pc.equal(pc.utf8_trim_whitespace(shown), "").to_numpy(zero_copy_only=False)
    fits = (found < _PLANE) & alone[np.minimum(found, _PLANE - 1)] & (is_space | ~is_trimmed)
    forms, kinds = np.zeros(_PLANE, dtype=np.uint16), np.zeros(_PLANE, dtype=np.uint8)
    forms[points[fits]] = np.where(is_space, ord(" "), found)[fits]
    kinds[points] = is_space * _SPACE
    kinds[points] |= np.isin(found, [ord(sign) for sign in ".,:"]) * _SEPARATOR
    kinds[points] |= ((found >= ord("0")) & (found <= ord("9"))) * _DIGIT
    return _Tables(forms=forms, kinds=kinds)


def _standing_alone() -> Bool:
    """Mask of the characters that join with no neighbour: no marks, halves of pairs, parts of Hangul syllables."""
    mask = np.array([unicodedata.category(chr(point)) not in _JOINING for point in range(_PLANE)])
    mask[0] = False
    for parts in _HANGUL_PARTS:
        mask[parts] = False
    return mask


def _of_ascii(texts: pa.Array) -> pa.Array:
    data, offsets = bytes_of(texts)
    forms = np.frombuffer(data.translate(_translation(kinds=False)), dtype=np.uint8)
    found = np.frombuffer(data.translate(_translation(kinds=True)), dtype=np.uint8)
    forms, offsets, odd = _evened_out(forms, found, offsets, kept=_KEPT_BYTE)
    after = np.flatnonzero(forms == _KEPT_BYTE)
    written = forms.tobytes().replace(bytes([_KEPT_BYTE]), chr(_KEPT_SIGN).encode())
    return _with_others(_array_of(written, offsets + 2 * np.searchsorted(after, offsets)), odd, texts)


def _of_others(texts: pa.Array) -> pa.Array:
    tables = _tables()
    data, _ = bytes_of(texts)
    units = np.frombuffer(data.decode("utf-8").encode("utf-16-le"), dtype=np.uint16)
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False)
    if int(lengths.sum()) < len(units):  # some characters take two units
        lengths = lengths + pc.count_substring_regex(texts, r"[\x{10000}-\x{10ffff}]").to_numpy(zero_copy_only=False)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
    forms, offsets, odd = _evened_out(
        tables.forms.take(units, mode="clip"), tables.kinds.take(units, mode="clip"), offsets, kept=_KEPT_SIGN
    )
    written = forms.tobytes().decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass")
    begins = np.flatnonzero(np.frombuffer(written, dtype=np.uint8) & 0xC0 != 0x80)  # of each character
    return _with_others(_array_of(written, np.append(begins, len(written))[offsets]), odd, texts)


@cache
def _translation(*, kinds: bool) -> bytes:
    tables = _tables()
    return bytes((tables.kinds if kinds else tables.forms)[:256].astype(np.uint8))


def _evened_out(forms: CodeUnits, found: UInt8, offsets: Int64, *, kept: int) -> tuple[CodeUnits, Int64, Int64]:
    """The forms with decimals kept and runs of space as one, where each text begins, and the texts for the kernels."""
    unknown = np.zeros(0, dtype=np.int64) if forms.all() else np.flatnonzero(forms == 0)
    odd = np.unique(np.searchsorted(offsets, unknown, side="right") - 1)
    decimals = _between_digits(found, offsets)
    is_space = (found & _SPACE).view(bool)
    if len(decimals):
        forms, is_space = forms.copy(), is_space.copy()
        forms[decimals], is_space[decimals] = kept, False
    gone = _superfluous(is_space, offsets)
    return forms[~gone], offsets - np.searchsorted(np.flatnonzero(gone), offsets), odd


def _between_digits(found: UInt8, offsets: Int64) -> Int64:
    """Places of the separators that stand between two digits of one text."""
    places = np.flatnonzero(found & _SEPARATOR != 0)
    places = places[(places > 0) & (places < len(found) - 1)]
    places = places[(found[places - 1] & found[places + 1] & _DIGIT).astype(bool)]
    before, after = (np.searchsorted(offsets, places + step, side="right") for step in (-1, 1))
    kept: Int64 = places[before == after]
    return kept


def _superfluous(is_space: Bool, offsets: Int64) -> Bool:
    """Mask of the spaces that follow a space, or stand at the beginning or the end of their text."""
    gone = is_space.copy()
    gone[1:] &= is_space[:-1]
    is_filled = offsets[1:] > offsets[:-1]
    starts, lasts = offsets[:-1][is_filled], offsets[1:][is_filled] - 1
    gone[starts] = is_space[starts]
    at_end = is_space[lasts]
    firsts = np.flatnonzero(is_space & ~gone)  # of each run that does not begin its text
    runs = np.searchsorted(firsts, lasts[at_end], side="right") - 1
    begins = firsts[runs[runs >= 0]]
    gone[begins[begins >= starts[at_end][runs >= 0]]] = True
    return gone


def _array_of(written: bytes, offsets: Int64) -> pa.Array:
    begins = pa.py_buffer(offsets.astype(np.int64).tobytes())
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, begins, pa.py_buffer(written))


def _with_others(result: pa.Array, odd: Int64, texts: pa.Array) -> pa.Array:
    """The result with the work of the kernels in some places."""
    if not len(odd):
        return result
    mask = np.zeros(len(texts), dtype=bool)
    mask[odd] = True
    return pc.replace_with_mask(result, pa.array(mask), by_kernels(texts.take(pa.array(odd))))
