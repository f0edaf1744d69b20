"""What is looked for first, to spare the work of a pattern, is in every text that the pattern matches."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ftfy import badness
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from operators.markup import boilerplate, evidence, removal, talk
from operators.special_char_ratio import most_special_chars, special_char_counts
from operators.texts import mojibake
from operators.texts.text import folded, holds_any

_SLOW_TO_DRAW = settings(suppress_health_check=list(HealthCheck))


def _is_in_re2(gate: str) -> Callable[[str], bool]:
    return lambda text: bool(pc.match_substring_regex(pa.scalar(text), gate).as_py())


def _may_ask(text: str) -> bool:
    words = folded(text)
    return holds_any(words, talk._WORDS_OF_THINGS) or talk._UI.search(words) is not None


GATES: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "markup": (talk._MARKUP, lambda text: holds_any(folded(text), talk._WORDS_OF_MARKUP)),
    "things": (talk._ASKS[0][1], _may_ask),
    "things in Chinese": (talk._ASKS[1][1], _may_ask),
    "code": (talk._CODE_SIGN, talk._may_hold_code),
    "encodings": (mojibake._TALK, lambda text: holds_any(folded(text), mojibake._WORDS_OF_TALK)),
    "control characters": (mojibake._REMOVED, _is_in_re2(mojibake.GATE_RE2)),
    "misread text": (badness.BADNESS_RE, _is_in_re2(mojibake.GATE_RE2)),
    "signs of misreading": (badness.BADNESS_RE, lambda text: mojibake._MAY_BE_MISREAD.search(text) is not None),
    "entities": (removal._ENTITY, _is_in_re2(removal.GATE_RE2)),
    "escaped tags": (removal._ESCAPED_TAG, _is_in_re2(removal.GATE_RE2)),
}


@pytest.mark.parametrize("name", GATES)
@_SLOW_TO_DRAW
@given(data=st.data())
def test_a_text_with_a_match_passes_the_gate(name: str, data: st.DataObject) -> None:
    pattern, gate = GATES[name]
    text = data.draw(st.from_regex(pattern))
    assume(pattern.search(text))
    assert gate(text)


_READ = st.sampled_from([*"ab Z.,é—’", "\u0401"])
_MISREAD = st.from_regex(badness.BADNESS_RE) | st.sampled_from(sorted(set(badness.BADNESS_RE.pattern)))


@_SLOW_TO_DRAW
@given(st.lists(_READ | _MISREAD, max_size=40).map("".join))
@example("a" * 40 + "\u00c3\u00a9" + "b" * 40)
def test_a_line_is_misread_where_the_whole_pattern_says_so(text: str) -> None:
    for line in text.split("\n"):
        assert mojibake.is_misread(line) == badness.is_bad(line)


@_SLOW_TO_DRAW
@given(st.from_regex(boilerplate._FURNITURE, fullmatch=True).map(str.strip))
@example("aſkedby0")
def test_a_line_of_furniture_begins_as_one_may(line: str) -> None:
    assume(boilerplate._FURNITURE.fullmatch(line))
    assert boilerplate._may_be_furniture(line)


@_SLOW_TO_DRAW
@given(
    st.from_regex(boilerplate._SURE, fullmatch=True).filter(lambda line: "\n" not in line),
    st.sampled_from(["", "\n", " \u3000", "\x0b"]),
)
def test_a_first_or_last_line_that_is_no_text_passes_the_gate(line: str, before: str) -> None:
    assert _is_in_re2(boilerplate.SURE_RE2)(before + line)


@_SLOW_TO_DRAW
@given(st.from_regex(boilerplate._INVITATION))
def test_an_invitation_has_a_link_and_its_words(text: str) -> None:
    assume(boilerplate._LINK.search(text))
    assert any(_is_in_re2(link)(text) and _is_in_re2(words)(text) for link, words in boilerplate.INVITATIONS_RE2)


@_SLOW_TO_DRAW
@given(st.from_regex(evidence._INSTRUCTION))
def test_an_instruction_ends_as_one_may(text: str) -> None:
    found = evidence._INSTRUCTION.search(text, max(0, len(text) - 16), len(text))
    assert evidence._is_instructed(text, len(text)) == (found is not None)


@_SLOW_TO_DRAW
@given(st.from_regex(talk._CODE_LINE, fullmatch=True).map(str.strip))
@example("İF (x]")
@example("a <- b")
@example("x := 1.")
def test_a_line_of_code_passes_the_gate(line: str) -> None:
    assume(line and talk._CODE_LINE.match(line))
    assert talk._is_code_line(line)


_UNSEEN = st.sampled_from([*"\x00\x1f\xad\u200b\u200c\u200d\ufeff\u2060\ufffd ab\u0e01\u0915😀"])


@settings(max_examples=500, deadline=None)
@given(st.lists(_UNSEEN, max_size=12).map("".join))
def test_a_joiner_goes_where_no_neighbour_needs_it(text: str) -> None:
    alone = re.compile(
        f"[{mojibake._UNSEEN}]+|(?<![{mojibake._UNSPACED}])\u200b|\u200b(?!\u200b*[{mojibake._UNSPACED}])"
        f"|(?<=\u200c)\u200c|(?<=\u200d)\u200d|(?<![{mojibake._JOINABLE}])[\u200c\u200d](?![{mojibake._JOINABLE}])"
    )
    assert mojibake._REMOVED.sub("", text) == alone.sub("", text)


_LAYOUT = st.sampled_from([*"\0\1\2 \t\na\u3000\x1f。", "word"])


@settings(max_examples=300, deadline=None)
@given(st.lists(_LAYOUT, max_size=30).map("".join))
def test_a_run_of_marks_takes_the_space_around_it(text: str) -> None:
    runs = re.compile(r"(?<!\s)\s*+[\0-\2][\s\0-\2]*+")
    broken = runs.sub(lambda run: removal._break(run.group()), text)
    assert removal._lay_out(text) == removal._BLANK_LINES.sub("\n\n", broken)


@pytest.mark.parametrize("text", ["ſıİK", "STYLEſHEET", "İFRAME", "JQUERY of Kelvin: K"])
def test_folded_text_holds_what_a_pattern_takes_for_ascii(text: str) -> None:
    for letter, found in zip(folded(text), text.replace("İ", "i"), strict=True):
        assert re.fullmatch(letter, found, re.IGNORECASE)
    assert not re.search("[ſıİK]", folded(text))


_SIGNS = st.sampled_from([*"aé½²ßÃâ€™ˆšƒ!?.,#<>|~ \n\u2028中，。٣😀", "\ufffd", "\u0301", "\u200d"])


@given(st.lists(st.none() | st.text(max_size=8) | st.lists(_SIGNS, max_size=12).map("".join), max_size=6))
def test_no_text_has_more_special_characters_than_the_bound(texts: list[str | None]) -> None:
    array = pa.array(texts, pa.string())
    most, visible = most_special_chars(array)
    special, counted = special_char_counts(array)
    assert (special <= most).all()
    assert visible.tolist() == counted.tolist()
