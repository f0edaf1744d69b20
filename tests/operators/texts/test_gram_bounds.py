"""The bounds of many texts at once are what each text's own n-grams say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from operators.ngram_repetition import NgramRepetition, repetition_ratio
from operators.texts.gram_bounds import repetition_bounds
from operators.texts.text import Int64, split_units

_PIECES = ("a", "b", "Word", " ", "\n", "_", "頭", "痛", "ก", "\u200d", "\u0301", "पा", "नी", "İ", "ΑΣ", "①", "➀", "😂")
TEXTS = st.none() | st.lists(st.sampled_from(_PIECES), max_size=40).map("".join) | st.text(max_size=20)


def _sizes(num_units: Int64) -> Int64:
    return 2 + num_units // 8


@given(st.lists(TEXTS, max_size=6))
@example(["\u0301a \u0301 \u0301b \U000e0100", "a" * 31])
def test_units_and_grams_are_those_of_each_text(texts: Sequence[str | None]) -> None:
    plain = []
    for text in texts:
        units = split_units(text or "")
        plain.append(repetition_ratio(units, size=int(_sizes(np.array(len(units))))))
    assert repetition_bounds(pa.array(texts, pa.string()), _sizes, max_unit=1000).tolist() == plain


def test_a_text_with_an_endless_word_is_not_judged() -> None:
    texts = pa.array(["one two " + "a" * 31, "one two " + "a" * 30, "a" * 31])
    assert repetition_bounds(texts, _sizes, max_unit=30).tolist() == [1.0, 0.0, 1.0]


@given(st.lists(TEXTS, max_size=6), st.integers(1, 4), st.sampled_from([0.0, 0.1, 0.4]))
@example(["😂🤣" * 20, "a" * 200], 3, 0.4)
def test_a_bound_changes_no_decision(texts: Sequence[str | None], ngram_size: int, max_ratio: float) -> None:
    operator = NgramRepetition(ngram_size=ngram_size, max_ratio=max_ratio, min_units=2)
    each = np.array([operator._ratio(text) for text in texts], dtype=np.float64)
    together = operator._ratios(pa.array(texts, pa.string()))
    assert ((together > max_ratio) == (each > max_ratio)).all()
