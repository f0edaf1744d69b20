"""The units of texts: words with their vowel signs, characters where words are not spaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.texts.text import split_units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("मधुमेह के लक्षण", ["मधुमेह", "के", "लक्षण"]),
        ("தலைவலிக்கு என்ன", ["தலைவலிக்கு", "என்ன"]),
        ("জ্বর হলে", ["জ্বর", "হলে"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("می\u200cروم خانه", ["می\u200cروم", "خانه"]),
        ("cafe\u0301 İzmir", ["cafe\u0301", "i\u0307zmir"]),
        ("头痛, ปวด", ["头", "痛", "ป", "ว", "ด"]),
        ("snake_case x2+y2", ["snake", "case", "x2", "y2"]),
        ("\u0301 ।", []),
    ],
)
def test_a_unit_is_a_word_as_its_script_writes_it(text: str, units: list[str]) -> None:
    assert split_units(text) == units


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_and_accented_texts_are_cut_alike(text: str) -> None:
    assert split_units(f"{text} é") == [*split_units(text), "é"]
