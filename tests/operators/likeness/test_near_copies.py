"""Near-copies are found by signature, in any language, at any cut of the existing texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.likeness.near_copies import NUM_HASHES, closest_similarity, distinct, signatures_of, similarity

EXISTING = [
    "How many legs does an ordinary garden spider have?",
    "Which planet of the solar system is the largest one?",
    "成人一天最多可以服用多少对乙酰氨基酚？",
    "Hi",
]


def closest(texts: list[str], existing: list[str] = EXISTING) -> list[float]:
    found: list[float] = closest_similarity(signatures_of(texts), [signatures_of(existing)]).tolist()
    return found


def test_a_copy_that_differs_in_case_and_punctuation_is_the_same() -> None:
    assert closest(
        ["how many legs does an ordinary garden spider have", "hi!", "成人一天，最多可以服用多少对乙酰氨基酚"]
    ) == [1, 1, 1]


@pytest.mark.parametrize(
    "text",
    ["How many legs does an ordinary house spider have?", "成人一天最多可以吃多少对乙酰氨基酚？"],
)
def test_one_changed_word_leaves_a_near_copy(text: str) -> None:
    assert closest([text])[0] >= 0.5


def test_other_questions_in_the_same_form_are_new() -> None:
    assert max(closest(["How many moons does the planet Mars have?", "儿童发烧时应该如何处理？", "Hello"])) < 0.5


def test_the_estimate_is_near_the_true_similarity() -> None:
    words = [f"w{number:03d}" for number in range(200)]
    left, right = signatures_of([" ".join(words[:150]), " ".join(words[50:])])
    assert similarity(left, right) == pytest.approx(0.5, abs=0.15)


@settings(max_examples=30)
@given(st.permutations(EXISTING), st.integers(min_value=0, max_value=len(EXISTING)))
def test_order_and_cut_of_the_existing_texts_do_not_matter(texts: list[str], cut: int) -> None:
    candidates = signatures_of(["How many legs does a garden spider have?", "Hi", "new"])
    parts = [distinct(signatures_of(texts[:cut])), distinct(signatures_of(texts[cut:]))]
    whole = closest_similarity(candidates, [signatures_of(EXISTING)])
    assert closest_similarity(candidates, parts).tolist() == whole.tolist()


def test_repeated_candidates_are_each_answered() -> None:
    assert closest(["Hi", "Hi", "nothing like it", "Hi"]) == [1, 1, 0, 1]


def test_nothing_is_close_to_nothing() -> None:
    assert signatures_of([]).shape == (0, NUM_HASHES)
    assert closest(["Hi"], existing=[]) == [0]
    assert closest([]) == []
    assert signatures_of([""]).dtype == np.uint16
