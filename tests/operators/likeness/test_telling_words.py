"""Names are found in all texts at once, as a pattern finds them one by one."""

from __future__ import annotations

import re

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from operators.likeness.telling_words import _CAPITALS, _OF_WORD, _ascii_names, _name_kinds, _other_names

_INSIDE = r"[\w'’-]"
_NAME = re.compile(
    rf"(?:(?<![\w,;] )(?<!{_INSIDE})((?!{_CAPITALS.pattern})\w{_INSIDE}*) )?"
    rf"({_CAPITALS.pattern}(?<=[\w,;] .){_INSIDE}*)"
)
"""A name, and before it the first word of its sentence, if it is right there and begins with no capital."""
_PIECES = [*"aZI9_,;.-' \n\0", " A", ", Bc", "d E'f-G", "; H", "k Lm", "9 Z"]
_OTHERS = ["é", "’", " É", "中", "ß Öl’s", "中 A", "\U0001f600"]


def _texts(pieces: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.lists(st.sampled_from(pieces), max_size=12).map("".join), max_size=6)


@given(_texts(_PIECES))
@example(["a A", "b", " C", "", " d D", "e", " F"])
@example(["ends in a Name", "x", " Y"])
def test_names_of_ascii_texts_are_those_of_the_pattern(texts: list[str]) -> None:
    places, names = _ascii_names(pa.array(texts, pa.large_string()))
    found = list(zip(places.owners.tolist(), names.to_pylist(), places.may_begin.tolist(), strict=True))
    assert found == _by_pattern(texts)


@given(_texts(_PIECES + _OTHERS))
@example(["é À", "b", " Ö", "", "是 A"])
def test_names_of_other_texts_are_those_of_the_pattern(texts: list[str]) -> None:
    places, names = _other_names(pa.array(texts, pa.large_string()))
    found = list(zip(places.owners.tolist(), names.to_pylist(), places.may_begin.tolist(), strict=True))
    assert found == _by_pattern(texts)


def _by_pattern(texts: list[str]) -> list[tuple[int, str, bool]]:
    return [
        (row, name, opening[:1].islower()) for row, text in enumerate(texts) for opening, name in _NAME.findall(text)
    ]


def test_what_names_are_made_of_are_the_words_of_the_pattern() -> None:
    kinds = _name_kinds()
    pattern = re.compile(rf"\w|{_CAPITALS.pattern}")
    assert [bool(pattern.match(chr(point))) for point in range(len(kinds))] == (kinds & _OF_WORD == _OF_WORD).tolist()
