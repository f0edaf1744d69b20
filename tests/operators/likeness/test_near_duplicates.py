"""Near-duplicate groups: what joins, what stays apart, and what the result may depend on."""

from __future__ import annotations

import random
import string
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.likeness.near_duplicates import (
    band_size,
    group_sketches,
    merge_sketches,
    minhash,
    near_duplicate_groups,
    sketch_texts,
)
from operators.texts.normal_form import normalise
from operators.texts.text import shingle

LONG = (
    "The heart pumps blood through the body in two loops, one to the lungs where it takes up oxygen and one to all "
    "other organs, and its four valves keep the flow going in one direction only at every single beat of a long life."
)
CHINESE = "痛风是一种由于尿酸代谢紊乱引起的疾病，常见症状是关节疼痛和肿胀。建议患者在医生的指导下进行药物治疗。"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", ""),
        ("What is AI?", "What is IA?"),
        ("What is the capital of Iran?", "What is the capital of Iraq?"),
        (
            "Can you please tell me what the capital city of Iran is",
            "Can you please tell me what the capital city of Iraq is",
        ),
        ("What is 1.5 mg?", "What is 15 mg?"),
        ("What is C?", "What is C++?"),
        ("???", "!!!"),
        ("伊朗的首都是哪里？", "伊拉克的首都是哪里？"),
        ("糖尿病患者应该如何控制饮食？", "高血压患者应该如何控制饮食？"),
    ],
)
def test_different_texts_stay_apart(one: str, other: str) -> None:
    assert near_duplicate_groups([one, other]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sort of.", "sort of"),
        ("How are you?", "How  are you ?!"),
        ("???", "???"),
        ("Hello there, friend", "hello there friend"),
        (LONG, LONG.replace("every single", "each single")),
        (CHINESE, CHINESE.replace("，", ",").replace("建议", "请")),
        (CHINESE, CHINESE + "祝好"),
        ("ＡＢＣ１２３", "abc123"),
    ],
)
def test_near_copies_join(one: str, other: str) -> None:
    assert near_duplicate_groups([one, "something else entirely", other]).tolist() == [0, 1, 0]


def test_missing_and_empty_texts_stay_alone() -> None:
    assert near_duplicate_groups([None, "", "", None, " \n", "a", "a"]).tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert near_duplicate_groups([]).tolist() == []


def test_groups_are_transitive() -> None:
    words = [f"word{number}" for number in range(60)]
    steps = [" ".join([*("new" + str(k) for k in range(changed)), *words[changed:]]) for changed in range(0, 20, 4)]
    assert near_duplicate_groups([steps[0], steps[-1]]).tolist() == [0, 1]
    assert near_duplicate_groups(steps).tolist() == [0] * len(steps)


def _brute_force(texts: list[str], threshold: float) -> list[int]:
    shingles, offsets = shingle(normalise(pa.array(texts, pa.large_string())))
    sets = [set(shingles[low:high].tolist()) for low, high in pairwise(offsets)]
    labels = list(range(len(texts)))
    for one in range(len(texts)):
        for other in range(one):
            union = sets[one] | sets[other]
            if union and len(sets[one] & sets[other]) / len(union) >= threshold:
                old, new = max(labels[one], labels[other]), min(labels[one], labels[other])
                labels = [new if label == old else label for label in labels]
    return labels


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_groups_equal_those_of_all_pairs_compared(threshold: float) -> None:
    rnd = random.Random(7)
    vocabulary = ["".join(rnd.choices(string.ascii_lowercase, k=5)) for _ in range(400)]
    texts = []
    for _ in range(40):
        words = rnd.choices(vocabulary, k=rnd.randint(3, 60))
        for _ in range(rnd.randint(1, 6)):
            texts.append(" ".join(words))
            words = list(words)
            words[rnd.randrange(len(words))] = rnd.choice(vocabulary)
    rnd.shuffle(texts)
    assert near_duplicate_groups(texts, threshold=threshold).tolist() == _brute_force(texts, threshold)


WORDS = st.lists(st.sampled_from(["pain", "head", "头", "痛", "water", "rest", "+", "."]), max_size=9).map(" ".join)


@settings(max_examples=60)
@given(st.lists(WORDS | st.none(), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_row_order_only_relabels(texts: list[str | None], rnd: random.Random) -> None:
    order = list(range(len(texts)))
    rnd.shuffle(order)
    straight = near_duplicate_groups(texts)
    shuffled = near_duplicate_groups([texts[row] for row in order])
    groups = {frozenset(np.flatnonzero(straight == label).tolist()) for label in straight}
    assert {frozenset(order[row] for row in np.flatnonzero(shuffled == label)) for label in shuffled} == groups
    assert all(label == np.flatnonzero(straight == label)[0] for label in straight)


def test_sketches_of_parts_merge_to_those_of_the_whole() -> None:
    texts = pa.array([LONG, None, "short", CHINESE, LONG + " So it is.", ""], pa.large_string())
    whole = sketch_texts(texts, seed=3)
    merged = merge_sketches([sketch_texts(texts.slice(start, 2), seed=3) for start in (0, 2, 4)])
    for name in ("keys", "signatures", "shingles", "offsets"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    assert group_sketches(merged).tolist() == [0, 1, 2, 3, 0, 5]


def test_signatures_estimate_jaccard_similarity() -> None:
    rng = np.random.default_rng(1)
    sets = [np.sort(rng.integers(0, 1 << 32, 300, dtype=np.uint32)) for _ in range(200)]
    halves = [np.sort(np.concatenate([one[:200], rng.integers(0, 1 << 32, 100, dtype=np.uint32)])) for one in sets]
    signatures = minhash(np.concatenate(sets + halves), np.arange(401) * 300, num_perm=128, seed=0)
    estimates = (signatures[:200] == signatures[200:]).mean(axis=1)
    assert estimates.mean() == pytest.approx(0.5, abs=0.02)
    assert estimates.std() == pytest.approx((0.5 * 0.5 / 128) ** 0.5, rel=0.25)


def test_bands_find_a_pair_at_the_threshold() -> None:
    for threshold in (0.3, 0.5, 0.8, 0.95):
        rows = band_size(threshold, 128)
        assert rows == 1 or (1 - threshold**rows) ** (128 // rows) <= 1e-3


def test_twenty_thousand_rows_with_one_crowded_bucket_are_grouped_in_seconds() -> None:
    texts = [f"{LONG} Number {number % 50}." for number in range(10_000)]
    texts += [f"{number} {number * 7919 % 10_007} {number * 104_729 % 10_009} a b c d" for number in range(10_000)]
    groups = near_duplicate_groups(texts)
    assert (groups[:10_000] == 0).all()
    assert len(np.unique(groups[10_000:])) == 10_000
