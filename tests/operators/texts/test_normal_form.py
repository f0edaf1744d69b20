"""`normalise` by tables gives what Arrow's kernels give, whatever stands beside what."""

from __future__ import annotations

import time
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.texts.normal_form import by_kernels, normalise

_WHOLE = (
    "1 2 . , : ١ １ ． a Ａ ﬁ é ㄱ ｶﾞ İ ß Σ 。 “ 😀 中 \u0301 e\u0301 \u1100\u1161 \uac00\u11a8 \u3099 \U0001d400 \u2024"
)
_PIECES = st.sampled_from([*_WHOLE.split(" "), *" \0\u3000\n\x0b\x1c\x80\x85\u2028\xa0"])
_TEXTS = st.none() | st.text(max_size=8) | st.lists(_PIECES, max_size=12).map("".join)


@given(st.lists(_TEXTS, max_size=6))
@example(["1.2.3", "4", "5.", ".6", " . ", "7:8,9"])
@example(["a ", " b", "", "  ", "c  d"])
def test_tables_say_what_the_kernels_say(texts: list[str | None]) -> None:
    array = pa.array(texts, pa.large_string())
    found = normalise(array)
    found.validate(full=True)
    assert found.to_pylist() == by_kernels(array).to_pylist()


def test_every_character_alone_and_between_letters_comes_out_as_the_kernels_say() -> None:
    points = [chr(point) for point in range(0x11000) if not 0xD800 <= point < 0xE000]
    array = pa.array([*points, *(f"a{sign}b" for sign in points)], pa.large_string())
    assert normalise(array).equals(by_kernels(array))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_slice_of_texts_is_read_at_its_place(kind: pa.DataType) -> None:
    array = pa.array(["x!", None, "Über 1.5", "y  z", "3,4"], kind)
    assert normalise(array.slice(1, 3)).to_pylist() == [None, "über 1\u20245", "y z"]


@pytest.mark.parametrize("pair", ["\u0301\u0323", "\u0301\uff9e"])
def test_a_run_of_marks_takes_time_in_proportion_to_its_length(pair: str) -> None:
    started = time.process_time()
    normalise(pa.array([f"a{pair * 100_000}"]))
    assert time.process_time() - started < 5  # twenty and more where they are sorted as one run


def test_as_many_marks_as_languages_use_are_one_run() -> None:
    text = "a" + "\u0301\u0323" * 14
    assert normalise(pa.array([text])).to_pylist() == [unicodedata.normalize("NFKC", text)]


@pytest.mark.parametrize("pair", ["\u0301\u0323", "\u0301\uff9e", "\U0001e8d0\U0001e944"])
@pytest.mark.parametrize("count", [29, 30, 31, 61])
def test_a_joiner_follows_every_thirty_marks(pair: str, count: int) -> None:
    marks = (pair * count)[:count]
    bounded = "".join(marks[at : at + 30] + "\u034f" * (len(marks) >= at + 30) for at in range(0, count, 30))
    expected = unicodedata.normalize("NFKC", f"a{bounded}b")
    assert normalise(pa.array(["plain", f"a{marks}b"])).to_pylist() == ["plain", expected]
