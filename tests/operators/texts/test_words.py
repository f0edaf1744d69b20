"""The words of all texts at once are what stands between the spaces of each."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from operators.texts.text import Words


@given(texts=st.lists(st.text(alphabet="ab é中 ", max_size=8), max_size=6), cut=st.integers(0, 3))
def test_words_are_what_stands_between_spaces(texts: list[str], cut: int) -> None:
    some = pa.array(texts, pa.large_string())[min(cut, len(texts)) :]
    found, split = Words.of(some), pc.split_pattern(some, " ")
    assert found.known.take(pa.array(found.indices)).to_pylist() == split.flatten().to_pylist()
    assert found.sizes.tolist() == pc.list_value_length(split).to_pylist()
    assert found.hashes.tolist() == [xxhash.xxh3_64_intdigest(word.encode()) for word in found.known.to_pylist()]
