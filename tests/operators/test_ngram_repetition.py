"""`ngram_repetition` drops loops and keeps what people write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.contract.resources import Resources
from operators.ngram_repetition import NgramRepetition, repetition_ratio
from tests.operators.row_tables import Records

PARAGRAPH = (
    "A migraine is a headache that can cause severe throbbing pain, usually on one side of the head. It is often "
    "accompanied by nausea, vomiting, and extreme sensitivity to light and sound. A migraine attack can last for hours "
    "or days, and the pain can be so bad that it interferes with what you do every day. For some people, a warning "
    "symptom known as an aura occurs before or with the headache. An aura can include flashes of light or blind spots."
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
TOWNS = ("Rome", "Oslo", "Lima")
VERSES = ("The sun is up", "The net is full", "The moon is late")


@pytest.mark.parametrize(
    "loop",
    [
        "I am happy I am happy I am happy",
        "头痛头痛头痛",
        "ha ha ha ha ha ha",
        "Drink more water and rest well at home. " * 3,
        "请您多休息，多喝水，按时服药，如有不适及时就医。" * 3,
        PARAGRAPH * 4,
        "the same words " * 2000,
        "a" * 500,
        "abcabd" * 80,
        "😂🤣" * 60,
        "\n".join(f"{number}. Drink more water and rest well at home." for number in range(1, 12)),
        "Yes. It is so. " + "Drink more water and rest. See a doctor soon enough. Sleep well all night. " * 4,
        "पर्याप्त पानी पिएँ और आराम करें। " * 4,
    ],
)
def test_a_loop_is_dropped_under_its_reason(records: Records, loop: str) -> None:
    kept = NgramRepetition().build(Resources())(records([("Why?", loop), (loop, None), ("Why?", None)]))
    assert kept.table["id"].to_pylist() == ["r0002"]
    assert kept.counts == {
        "dropped:ngram_repetition_above_max:answer": 1,
        "dropped:ngram_repetition_above_max:question": 1,
    }


@pytest.mark.parametrize(
    "text", [PARAGRAPH, "No no no no!", "I am happy. I am happy.", "好的好的", "", "好好学习，天天向上。"]
)
def test_ordinary_text_passes(records: Records, text: str) -> None:
    assert NgramRepetition().build(Resources())(records([(text, text)])).table.num_rows == 1


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(
            f"{day}: rest and drink two litres of water, then walk" for day in ("Mo", "Tu", "We", "Th", "Fr", "Sa")
        ),
        "\n".join(
            f"INSERT INTO town (id, name) VALUES ({at}, '{name}');" for at, name in enumerate(("Rome", "Oslo", "Lima"))
        ),
        "p q r | s\nT T T | T\nT T F | F\nT F T | F\nT F F | F\nF T T | T\nF T F | T\nF F T | F\nF F F | F",
        "true true true\ntrue false true\nfalse true true\nfalse false false",
        "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1",
        "[[0, 0, 0], [0, 0, 0], [0, 0, 0]]",
        "|a + b| <= |a| + |b|, |a - b| >= |a| - |b|",
        "\n".join(f"{drug}片：每日3次，每次1片，饭后温水冲服。" for drug in ("甲硝唑", "阿司匹林", "维生素", "布洛芬")),
        "".join(
            f"{verse}\nRow, my brother, row with me,\nAcross the sea.\n"
            for verse in ("The sun is up", "The net is full", "The moon is late")
        ),
        "ATGGCCCTGTGGATGCGCCTCCTGCCCCTGCTGGCGCTGCTGGCCCTCTGGGGACCTGACCCAGCCGCAG",
        "ItemFunctionCallOutputOutputPartsInputImage",
    ],
)
def test_rows_and_refrains_that_say_something_new_are_no_loop(records: Records, text: str) -> None:
    assert NgramRepetition().build(Resources())(records([(text, text)])).table.num_rows == 1


@given(st.lists(st.integers(), min_size=3, max_size=30, unique=True), st.integers(3, 6))
def test_saying_it_three_times_repeats_at_least_half_and_twice_less(sentence: list[int], times: int) -> None:
    units = [str(unit) for unit in sentence]
    assert repetition_ratio(units, size=3) == 0
    assert repetition_ratio(units * 2, size=3) < 0.5 <= repetition_ratio(units * times, size=3)


def test_the_lower_bound_drops_text_without_repetition(records: Records) -> None:
    kept = NgramRepetition(min_ratio=0.01).build(Resources())(records([(PARAGRAPH, None), ("so so short", None)]))
    assert kept.table["id"].to_pylist() == ["r0001"]
    assert kept.counts == {"dropped:ngram_repetition_below_min:question": 1}


def test_swapped_bounds_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"min_ratio 0\.9 is above max_ratio 0\.4"):
        NgramRepetition(min_ratio=0.9)
