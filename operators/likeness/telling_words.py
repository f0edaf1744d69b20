"""Words that tell two long texts apart though all else is alike: numbers, negations, names, units, opposites.

Two classes. What is *counted* must stand in both texts equally often: numbers, and negations whatever their wording.
What is *exchanged* may be missing on one side, as where a copy lost a word, but not be replaced: names (capitals inside
a sentence), units, numerals, months, words with an opposite, and what holds a symbol, as operators and code do. Where a
sentence begins with a small letter, a name right behind its first word may be the sentence's beginning, before which a
copy got a word ("indeed Shame is"): such a name is exchanged for other names alone. Knows no rows and no likeness.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from operators.likeness.hashed_sets import HashedSets, numbered, numbered_in_order, runs, sets_of
from operators.texts.text import (
    UNSPACED_RE2,
    Int64,
    UInt32,
    UInt64,
    Words,
    bytes_of,
    code_points,
    scramble,
    without_spaces,
)

_NEGATIONS_TEXT = """
not no never none nor neither cannot without t dont doesnt didnt isnt arent wasnt werent cant wont nicht kein keine
keinen keiner nie niemals ohne ne pas jamais sans aucun aucune nunca sin ninguno ninguna não nem sem non senza mai не
нет никогда без नहीं मत ना لا ليس لم لن غير niet geen nooit không chưa tidak bukan değil yok 안 못 않는다
"""
_EXCHANGED_TEXT = """
mg g kg mcg ug µg μg ml l dl cl mmol mol iu mm cm m km inch inches ft feet miles lb lbs oz percent % ‰ °c °f bar kpa
pa hz khz mhz ghz w kw v mv kb mb gb tb ms s sec secs seconds min mins minute minutes h hr hrs hour hours day days
week weeks month months year years spring summer autumn winter daily weekly monthly yearly usd eur gbp dollars euros
pounds am pm

zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion first second
third fourth fifth once twice thrice half double triple quarter

january february march april may june july august september october november december monday tuesday wednesday
thursday friday saturday sunday

yes true false correct incorrect right wrong positive negative left before after above below up down under over high
low higher lower more less most least many few all some any always sometimes rarely often increase increases increased
decrease decreases decreased raise raises reduce reduces start stop safe unsafe dangerous allowed forbidden legal
illegal possible impossible male female man woman boy girl he she his her mother father son daughter hot cold warm
cool north south east west morning noon evening night early late old new young same different hyper hypo benign
malignant acute chronic maximum minimum max best worst win lose won lost buy sell open closed with enable disable
enabled disabled
"""
_NEGATIONS = frozenset(_NEGATIONS_TEXT.split())
"""`t` is what is left of `n't`."""
_EXCHANGED = frozenset(_EXCHANGED_TEXT.split())
"""Units; numerals; months and days; words with an opposite."""
_NUMBER = re.compile(r"\d[\d\u2024.,:/-]*[a-z%°µμ]*")
_NEGATING = "不没沒未勿莫"
_LONGER_NEGATION = "ない|なく|ません|ไม่"
_UNSPACED_EXCHANGED = (
    "零一二两兩三四五六七八九十百千万萬亿半左右上下前后後高低增减減升降男女早晚大小多少有无無非否是对错對錯真假阴阳陰陽冷热熱甲乙丙丁东南西北"
    "春夏秋冬年月日周克升天"
)
_CAPITALS = re.compile("[A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĘĚĞĢĪĹĽŁŃŇŐŒŘŚŞŠŢŤŪŮŰŹŻŽΑ-ΩА-ЯЁ]")
_PLANE_BITS = 16
_PLANE = 1 << _PLANE_BITS
_BEFORE, _INSIDE, _BLANK = 1, 2, 4
_OF_WORD = _BEFORE | _INSIDE
_SMALL, _CAPITAL = _OF_WORD | 8, _OF_WORD | 16
"""What may stand two characters before a name; inside one; right before one; in a word; a small letter; a capital."""
_NEGATED = np.uint64(0x6E6F74)
_NAME, _MAY_BEGIN, _KINDS = (np.uint64(kind << 32) for kind in (1, 2, 3))
"""A name for sure, and one that may be the beginning of a sentence, by the lowest bits that a set keeps of a hash."""
_IS_EXCHANGED, _NEGATES, _MAY_NEGATE = 1, 2, 4
"""A character of unspaced scripts is exchanged, a negation, or the first of a longer one."""

Hashes = tuple[np.uint64, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TellingWords:
    """Those of N texts."""

    counted: UInt64
    """One number for the bag of counted words [N]."""
    exchanged: HashedSets
    """`by_kind` tells what is exchanged for what."""


def by_kind(exchanged: HashedSets) -> tuple[HashedSets, HashedSets]:
    """All but the names that may be beginnings of sentences; and all names."""
    owners = np.repeat(np.arange(len(exchanged.sizes)), exchanged.sizes)
    hashes = exchanged.values.astype(np.uint64) << np.uint64(32)
    kinds = hashes & _KINDS
    is_name = kinds > 0
    names = sets_of(owners[is_name], hashes[is_name] & ~_KINDS, num_rows=len(exchanged.sizes))
    return exchanged.only(kinds != _MAY_BEGIN), names


def telling_words(raw: pa.Array, texts: pa.Array, words: Words) -> TellingWords:
    """The telling words of each normalised text, given with its words; only `raw` knows capitals."""
    characters = _UnspacedCharacters.of(texts)
    counted, exchanged = _of_words(words)
    names, may_begin = _names(raw)
    pairs = (names, numbered(*exchanged), characters.exchanged())
    rows, hashes = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    hashes &= ~_KINDS
    hashes[: len(may_begin)] |= np.where(may_begin, _MAY_BEGIN, _NAME)
    return TellingWords(counted=counted + characters.negations(), exchanged=sets_of(rows, hashes, num_rows=len(texts)))


def counted_words(texts: pa.Array, words: Words) -> UInt64:
    """One number for the bag of counted words of each normalised text [N]."""
    return _of_words(words)[0] + _UnspacedCharacters.of(texts).negations()


def _of_words(words: Words) -> tuple[UInt64, tuple[Int64, UInt64]]:
    """Of scripts with spaces, one number for the counted words of each text [N], and (text, hash) of exchanged ones."""
    counted_of, exchanged_of = _by_word(words.known)
    telling = np.array([bool(one or other) for one, other in zip(counted_of, exchanged_of, strict=True)], dtype=bool)
    hits = np.flatnonzero(telling[words.indices])
    owners, chosen = np.searchsorted(np.cumsum(words.sizes), hits, side="right"), words.indices[hits]
    rows, hashes = _spread(counted_of, owners, chosen)
    counted = np.zeros(len(words.sizes), dtype=np.uint64)
    np.add.at(counted, rows, scramble(hashes))
    return counted, _spread(exchanged_of, owners, chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnspacedCharacters:
    """What the characters of unspaced scripts say in N texts."""

    texts: pa.Array
    rows: Int64
    """The texts that are not ASCII."""
    points: UInt32
    """Their code points."""
    offsets: Int64
    """Where each of them begins."""
    kinds: npt.NDArray[np.uint8]
    """Of each code point."""

    @classmethod
    def of(cls, texts: pa.Array) -> _UnspacedCharacters:
        rows = np.flatnonzero(pc.invert(pc.string_is_ascii(texts)).to_numpy(zero_copy_only=False))
        points, offsets = code_points(texts.take(pa.array(rows)))
        kinds = _kinds_of_characters().take(points, mode="clip")
        return cls(texts=texts, rows=rows, points=points, offsets=offsets, kinds=kinds)

    def negations(self) -> UInt64:
        """One number for how many stand in each text [N]."""
        _, owners = self._places(_NEGATES)
        counts = np.bincount(owners, minlength=len(self.texts))
        longer = np.unique(self._places(_MAY_NEGATE)[1])
        counts[longer] += pc.count_substring_regex(self.texts.take(pa.array(longer)), _LONGER_NEGATION).to_numpy()
        return counts.astype(np.uint64) * scramble(np.array([_NEGATED]))

    def exchanged(self) -> tuple[Int64, UInt64]:
        """(text, hash) of every exchanged character, numbered."""
        places, owners = self._places(_IS_EXCHANGED)
        ordered = np.sort((owners << _PLANE_BITS) | self.points[places])  # numbers are sorted faster than pairs
        return numbered_in_order(ordered >> _PLANE_BITS, _hashes_of_characters()[ordered & (_PLANE - 1)])

    def _places(self, kind: int) -> tuple[Int64, Int64]:
        """Where characters of a kind stand, and in which text."""
        places = np.flatnonzero(self.kinds & kind != 0)
        return places, np.repeat(self.rows, np.diff(np.searchsorted(places, self.offsets)))


@cache
def _kinds_of_characters() -> npt.NDArray[np.uint8]:
    """By code point; the last entry is none of them."""
    kinds = np.zeros(_PLANE, dtype=np.uint8)
    kinds[[ord(character) for character in _UNSPACED_EXCHANGED]] = _IS_EXCHANGED
    kinds[[ord(character) for character in _NEGATING]] |= np.uint8(_NEGATES)
    kinds[[ord(negation[0]) for negation in _LONGER_NEGATION.split("|")]] |= np.uint8(_MAY_NEGATE)
    return kinds


@cache
def _hashes_of_characters() -> UInt64:
    """By code point, the hash of each exchanged character."""
    hashes = np.zeros(_PLANE, dtype=np.uint64)
    for character in _UNSPACED_EXCHANGED:
        hashes[ord(character)] = _hash(character)
    return hashes


def _by_word(words: pa.Array) -> tuple[list[Hashes], list[Hashes]]:
    """Hashes of what is counted and exchanged of each word; of a run of unspaced script the numbers alone."""
    counted: list[Hashes] = [()] * len(words)
    exchanged: list[Hashes] = [()] * len(words)
    unspaced = pc.match_substring_regex(words, f"[{UNSPACED_RE2}]").to_numpy(zero_copy_only=False)
    numbers = pc.match_substring_regex(words, r"\pN").to_numpy(zero_copy_only=False)
    texts = words.to_pylist()
    for place in np.flatnonzero(~unspaced).tolist():
        counted[place], exchanged[place] = _of_word(texts[place])
    for place in np.flatnonzero(unspaced & numbers).tolist():
        counted[place] = tuple(_hash(number) for number in _NUMBER.findall(texts[place]))
    return counted, exchanged


def word_bags(texts: pa.Array, words: Words) -> HashedSets:
    """The words of each text, or its characters where its script puts no space between words, with their numbers."""
    by_word = words.are_units
    owners = np.repeat(np.flatnonzero(by_word), words.sizes[by_word])
    points, lengths = without_spaces(texts.filter(pa.array(~by_word)))
    owners = np.concatenate([owners, np.repeat(np.flatnonzero(~by_word), lengths)])
    bags = numbered(owners.astype(np.int64), np.concatenate([words.units(), scramble(points.astype(np.uint64))]))
    return sets_of(*bags, num_rows=len(texts))


@lru_cache(maxsize=1 << 16)
def _of_word(word: str) -> tuple[Hashes, Hashes]:
    """Hashes of what is counted and exchanged of a word whose script has spaces."""
    if word in _NEGATIONS:
        return (_NEGATED,), ()
    if word in _EXCHANGED:
        return (), (_hash(word),)
    if word.isalpha():
        return (), ()
    return ((_hash(word),), ()) if any(map(str.isdigit, word)) else ((), (_hash(word),))


def _spread(found: Sequence[Hashes], owners: Int64, chosen: Int64) -> tuple[Int64, UInt64]:
    """(text, hash) of every telling word of every chosen word."""
    sizes = np.array([len(hashes) for hashes in found], dtype=np.int64)
    flat = np.array([one for hashes in found for one in hashes], dtype=np.uint64)
    starts, taken = np.cumsum(sizes) - sizes, sizes[chosen] if len(sizes) else np.zeros(0, dtype=np.int64)
    skipped = np.repeat(starts[chosen] - (np.cumsum(taken) - taken), taken)
    return np.repeat(owners, taken), flat[np.arange(int(taken.sum()), dtype=np.int64) + skipped]


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamePlaces:
    """Where names stand in N texts of which the characters' kinds are known."""

    owners: Int64
    starts: Int64
    sizes: Int64
    may_begin: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, kinds: npt.NDArray[np.uint8], offsets: Int64) -> _NamePlaces:
        """Of texts that begin at the offsets [N + 1]."""
        starts = np.flatnonzero(kinds == _CAPITAL)
        owners = np.searchsorted(offsets, starts, side="right") - 1
        inside = _inside_sentences(kinds, starts, offsets[owners])
        starts, owners = starts[inside], owners[inside]
        gaps = np.concatenate([[-1], np.flatnonzero(kinds & _INSIDE == 0), [len(kinds)]])
        ends = np.searchsorted(gaps, starts)
        words = np.maximum(gaps[ends - 2] + 1, offsets[owners])  # right before the space before the name
        is_first = ~_inside_sentences(kinds, words, offsets[owners])
        return cls(
            owners=owners,
            starts=starts,
            sizes=np.minimum(gaps[ends], offsets[owners + 1]) - starts,
            may_begin=is_first & (kinds[words] == _SMALL),
        )

    @property
    def ends(self) -> Int64:
        """Where each name ends in a text of nothing else, after a zero."""
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.sizes)])


def _inside_sentences(kinds: npt.NDArray[np.uint8], starts: Int64, begins: Int64) -> npt.NDArray[np.bool_]:
    """Mask of the words, of texts that begin there, that are not the first of their sentence."""
    found: npt.NDArray[np.bool_] = starts - begins > 1
    found[found] = (kinds[starts[found] - 1] == _BLANK) & (kinds[starts[found] - 2] & _BEFORE > 0)
    return found


def _names(texts: pa.Array) -> tuple[tuple[Int64, UInt64], npt.NDArray[np.bool_]]:
    """(text, hash) of every name, and the mask of those that may be the beginning of a sentence."""
    is_ascii = pc.string_is_ascii(texts).to_numpy(zero_copy_only=False)
    plain, others = np.flatnonzero(is_ascii), np.flatnonzero(~is_ascii)
    places, ascii_names = _ascii_names(texts.take(pa.array(plain)))
    other_places, other_names = _other_names(texts.take(pa.array(others)))
    owners = np.concatenate([plain[places.owners], others[other_places.owners]])
    names = pc.dictionary_encode(pa.concat_arrays([ascii_names, other_names]))
    known = [_hash(name.lower()) if name != "I" else np.uint64(0) for name in names.dictionary.to_pylist()]
    hashes = np.array(known, dtype=np.uint64)[names.indices.to_numpy()]
    is_name = hashes != 0
    may_begin = np.concatenate([places.may_begin, other_places.may_begin])
    return (owners[is_name], hashes[is_name]), may_begin[is_name]


def _ascii_names(texts: pa.Array) -> tuple[_NamePlaces, pa.Array]:
    data, offsets = bytes_of(texts)
    places = _NamePlaces.of(np.frombuffer(data.translate(_name_kinds()[:256].tobytes()), dtype=np.uint8), offsets)
    written = np.frombuffer(data, dtype=np.uint8)[runs(places.starts, places.sizes)]
    buffers = (pa.py_buffer(places.ends), pa.py_buffer(written))
    return places, pa.LargeStringArray.from_buffers(len(places.owners), *buffers)


def _other_names(texts: pa.Array) -> tuple[_NamePlaces, pa.Array]:
    points, offsets = code_points(texts)
    places = _NamePlaces.of(_name_kinds().take(points, mode="clip"), offsets)
    written = points[runs(places.starts, places.sizes)].tobytes().decode("utf-32-le")
    return places, pa.array([written[low:high] for low, high in pairwise(places.ends.tolist())], pa.large_string())


@cache
def _name_kinds() -> npt.NDArray[np.uint8]:
    """What each code point is to names; the last entry stands for all beyond."""
    kinds = np.zeros(_PLANE, dtype=np.uint8)
    kinds[[point for point in range(_PLANE) if chr(point).isalnum() or point == ord("_")]] = _OF_WORD
    kinds[[point for point in range(_PLANE) if chr(point).isalpha() and chr(point).islower()]] = _SMALL
    kinds[ord(" ")] = _BLANK
    kinds[[ord(sign) for sign in ",;"]] = _BEFORE
    kinds[[ord(sign) for sign in "'’-"]] = _INSIDE
    kinds[[point for point in range(_PLANE) if _CAPITALS.match(chr(point))]] = _CAPITAL
    return kinds


@lru_cache(maxsize=1 << 16)
def _hash(text: str) -> np.uint64:
    return np.uint64(xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")))
