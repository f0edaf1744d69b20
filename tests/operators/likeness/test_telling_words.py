"""Names are found in all ASCII texts at once, as the pattern finds them one by one."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from operators.likeness.telling_words import _NAME, _ascii_names

_PIECES = st.sampled_from([*"aZI9_,;.-' \n\0", " A", ", Bc", "d E'f-G", "; H"])


@given(st.lists(st.lists(_PIECES, max_size=12).map("".join), max_size=6))
@example(["a A", "b", " C", ""])
@example(["ends in a Name", "x", " Y"])
def test_names_of_ascii_texts_are_those_of_the_pattern(texts: list[str]) -> None:
    owners, names = _ascii_names(pa.array(texts, pa.large_string()))
    found = list(zip(owners.tolist(), names.to_pylist(), strict=True))
    assert found == [(row, name) for row, text in enumerate(texts) for name in _NAME.findall(text)]
