"""The units of texts: words with their vowel signs, characters where words are not spaced."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from operators.texts.normal_form import normalise
from operators.texts.text import UNSPACED_RE2, split_units, text_keys, unspaced_fracs


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


_SIGNS = st.sampled_from([*"ab .\t\n\r\x0b头あカ｡ｦ\u0e01\u2e7f\ufb00", "\U0001f600", "\U00020000", "\U00040000"])


@given(st.lists(st.none() | st.lists(_SIGNS | st.characters(exclude_categories=["Cs"]), max_size=12).map("".join)))
def test_the_share_of_unspaced_scripts_is_that_of_counted_characters(texts: list[str | None]) -> None:
    array = pa.array(texts, pa.large_string())
    unspaced = pc.count_substring_regex(array.fill_null(""), f"[{UNSPACED_RE2}]").to_pylist()
    visible = pc.count_substring_regex(array.fill_null(""), r"\S").to_pylist()
    assert unspaced_fracs(array).tolist() == [n / max(m, 1) for n, m in zip(unspaced, visible, strict=True)]


@given(st.lists(st.none() | st.sampled_from(["", " \n", "...", "a", "头", "a. b"]) | st.text(_SIGNS, max_size=5)))
def test_a_text_is_keyed_as_it_is_normalised_and_one_of_signs_alone_by_itself(texts: list[str | None]) -> None:
    raw = pa.array(["left out", *texts], pa.large_string()).slice(1)
    normalised = normalise(raw)
    told = [
        text or (f"\0{before}" if before is not None and before.strip() else None)
        for text, before in zip(normalised.to_pylist(), texts, strict=True)
    ]
    expected = [0 if text is None else xxhash.xxh3_64_intdigest(text.encode()) for text in told]
    assert text_keys(raw, normalised).tolist() == expected
