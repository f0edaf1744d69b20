"""Rows that fill large buckets: the same groups as with all pairs compared, in time that grows with their number."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.likeness import near_duplicates, shared_bounds
from operators.likeness.pair_joiner import PairJoiner
from operators.likeness.row_likeness import group_rows
from operators.likeness.row_sketches import sketch_rows
from operators.texts.text import Int64
from tests.operators.row_tables import sentence, table_of, words

Row = Mapping[str, object]


def assert_the_same_groups_as_of_all_pairs(rows: Sequence[Row]) -> None:
    """With their bucket taken as a large one, and as a small one."""
    sketches = sketch_rows(table_of(rows))
    groups = []
    with pytest.MonkeyPatch.context() as patched:
        for size in (4, 1000):
            patched.setattr(near_duplicates, "LARGE_BUCKET", size)
            groups.append(group_rows(sketches).tolist())
    assert groups[0] == groups[1]


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_what_rows_must_contain_of_each_other_finds_the_same_groups(seed: int) -> None:
    """Rows in one crowded bucket, of which some have all the words of others."""
    rng = random.Random(seed)
    told = words(rng, 60)
    rows: list[Row] = []
    for _ in range(50):
        kept = list(told)
        for _ in range(rng.choice([1, 1, 2])):
            kept[rng.randrange(len(kept))] = rng.choice(["", words(rng, 1)[0], told[0]])
        rows.append({"question": " ".join(kept), "answer": rng.choice(["Yes", "Yes", " ".join(words(rng, 30))])})
    assert_the_same_groups_as_of_all_pairs(rows)


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_telling_words_of_crowded_answers_find_the_same_groups(seed: int) -> None:
    rng = random.Random(seed)
    told = words(rng, 60)
    rows: list[Row] = []
    for _ in range(60):
        kept = list(told)
        for _ in range(rng.randint(1, 3)):
            kept[rng.randrange(60)] = rng.choice(
                ["sometimes", "before", "with Anna", ". ask Ben", ". indeed Anna", "Ben"]
            )
        rows.append({"question": "What helps?", "answer": " ".join(kept)})
    assert_the_same_groups_as_of_all_pairs(rows)


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_what_each_part_must_share_finds_the_same_groups(seed: int) -> None:
    """Rows in one crowded bucket whose questions are beginnings of one text, some of them with the answer of others."""
    rng = random.Random(seed)
    told = words(rng, 90)
    answers = [" ".join(words(rng, 30)) for _ in range(12)] + ["Yes", ""]
    rows: list[Row] = [
        {
            "question": " ".join(told[: rng.randint(60, 90)]),
            "answer": f"{rng.choice(answers)} {rng.choice(['', 'indeed', 'then'])}",
        }
        for _ in range(60)
    ]
    assert_the_same_groups_as_of_all_pairs(rows)


def beginnings_of_a_question(rng: random.Random, count: int) -> list[Row]:
    told = words(rng, 400)
    return [{"question": " ".join(told[: 100 + row % 300]), "answer": sentence(rng, 30)} for row in range(count)]


def beginnings_of_an_answer(rng: random.Random, count: int) -> list[Row]:
    told = words(rng, 300)
    return [{"question": sentence(rng, 12), "answer": " ".join(told[: 100 + row % 200])} for row in range(count)]


def growing_history(rng: random.Random, count: int) -> list[Row]:
    turns = [{"role": "user", "content": sentence(rng, 40)} for _ in range(10)]
    return [
        {"history": turns[: 1 + row % 10], "question": sentence(rng, 5), "answer": sentence(rng, 30)}
        for row in range(count)
    ]


def edits_of_two_answers(rng: random.Random, count: int) -> list[Row]:
    question, answers = sentence(rng, 150), [words(rng, 60), words(rng, 60)]
    rows: list[Row] = []
    for row in range(count):
        edited = list(answers[row % 2])
        edited[rng.randrange(60)] = words(rng, 1)[0]
        rows.append({"question": question, "answer": " ".join(edited)})
    return rows


def two_names_in_edited_answers(rng: random.Random, count: int) -> list[Row]:
    question, answer = sentence(rng, 150), words(rng, 60)
    rows: list[Row] = []
    for row in range(count):
        place = rng.randrange(60)
        edited = [*answer[:place], *words(rng, 1), *answer[place:]]
        rows.append({"question": f"{question} {('Tom', 'Anna')[row % 2]}", "answer": " ".join(edited)})
    return rows


def pairs_seen_by(step: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each call of a step of the joiner gets from here on."""
    seen: list[int] = []
    join = getattr(PairJoiner, step)

    def counting(joiner: PairJoiner, left: Int64, right: Int64) -> None:
        seen.append(len(left))
        join(joiner, left, right)

    monkeypatch.setattr(PairJoiner, step, counting)
    return seen


@pytest.mark.parametrize(
    "made",
    [
        beginnings_of_a_question,
        beginnings_of_an_answer,
        growing_history,
        edits_of_two_answers,
        two_names_in_edited_answers,
    ],
)
def test_pairs_that_are_compared_grow_with_the_rows(
    made: Callable[[random.Random, int], list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = pairs_seen_by("join", monkeypatch)
    counts = []
    for count in (500, 2000):
        seen.clear()
        group_rows(sketch_rows(table_of(made(random.Random(3), count))))
        counts.append(sum(seen))
    assert counts[1] < 2.5**2 * counts[0]


def rewordings_of_a_template(rng: random.Random, count: int) -> list[Row]:
    """About as similar as the signatures take for worth a comparison, and not alike."""
    question, answer, vocabulary = words(rng, 90), words(rng, 200), words(rng, 3000)

    def reworded(told: list[str], most: int) -> str:
        places = {rng.randrange(len(told)) for _ in range(rng.randint(0, most))}
        return " ".join(rng.choice(vocabulary) if at in places else word for at, word in enumerate(told))

    return [{"question": reworded(question, 14), "answer": reworded(answer, 20)} for _ in range(count)]


def test_few_rewordings_of_a_template_are_compared_by_their_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    sketches = sketch_rows(table_of(rewordings_of_a_template(random.Random(4), 400)))
    seen = pairs_seen_by("_join_alike", monkeypatch)
    groups = group_rows(sketches).tolist()
    behind_bits = sum(seen)
    seen.clear()
    monkeypatch.setattr(shared_bounds, "MIN_COMPARISONS", 10**9)
    assert group_rows(sketches).tolist() == groups
    assert 4 * behind_bits < sum(seen)


def test_edits_of_one_long_question_cost_about_as_much_each_however_many_they_are() -> None:
    def seconds(count: int) -> float:
        rng = random.Random(8)
        told = words(rng, 80)
        rows: list[Row] = []
        for _ in range(count):
            edited = list(told)
            edited[rng.randrange(80)] = words(rng, 1)[0]
            rows.append({"question": " ".join(edited), "answer": "Yes"})
        sketches = sketch_rows(table_of(rows))
        started = time.process_time()
        assert len(np.unique(group_rows(sketches))) > 0.98 * count
        return time.process_time() - started

    small, large = (min(seconds(count) for _ in range(3)) for count in (500, 2000))
    assert large < 2.5**2 * small
