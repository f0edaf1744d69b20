"""The prefix filter loses no pair that reaches the threshold, and leaves next to none of what shares boilerplate."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.likeness import near_duplicates
from operators.likeness.hashed_sets import HashedSets
from operators.likeness.near_duplicates import near_duplicate_groups
from operators.likeness.prefix_filter import PrefixEntries, contained_entries, fewest_pairs, prefix_entries

SETS = st.lists(st.frozensets(st.integers(0, 14), max_size=12), min_size=2, max_size=12)


def hashed(sets: list[frozenset[int]]) -> HashedSets:
    values = [value for one in sets for value in sorted(one)]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sets])])
    return HashedSets(values=np.array(values, dtype=np.uint32), offsets=offsets.astype(np.int64))


def pairs_of(entries: PrefixEntries) -> set[tuple[int, int]]:
    """All pairs that the entries leave: early ones with each other, late ones with those far enough in front."""
    found = set()
    early = np.flatnonzero(entries.is_early).tolist()
    for left, right in combinations(early, 2):
        if entries.tokens[left] == entries.tokens[right]:
            found.add((int(entries.owners[left]), int(entries.owners[right])))
    for lefts, rights in entries.late_pairs():
        found |= set(zip(entries.owners[lefts].tolist(), entries.owners[rights].tolist(), strict=True))
    return {(min(pair), max(pair)) for pair in found}


@given(first=SETS, second=SETS, threshold=st.sampled_from([0.3, 0.5, 0.7, 0.8, 0.9, 1.0]))
def test_no_pair_that_reaches_the_threshold_is_lost(
    first: list[frozenset[int]], second: list[frozenset[int]], threshold: float
) -> None:
    rows = list(zip(first, second, strict=False))
    parts = [hashed([row[0] for row in rows]), hashed([row[1] for row in rows])]
    kept = pairs_of(prefix_entries(parts, np.zeros(len(rows), dtype=np.uint64), threshold))
    for left, right in combinations(range(len(rows)), 2):
        shared = sum(len(a & b) for a, b in zip(rows[left], rows[right], strict=True))
        union = sum(len(a | b) for a, b in zip(rows[left], rows[right], strict=True))
        if union and shared >= threshold * union:
            assert (left, right) in kept


@given(sets=SETS, buckets=st.lists(st.integers(0, 1), min_size=12, max_size=12))
def test_no_pair_of_which_one_has_all_of_the_other_is_lost(sets: list[frozenset[int]], buckets: list[int]) -> None:
    known = [one for one in sets if one]
    kept = pairs_of(contained_entries(hashed(known), np.array(buckets[: len(known)], dtype=np.uint64)))
    for left, right in combinations(range(len(known)), 2):
        if buckets[left] == buckets[right] and (known[left] <= known[right] or known[right] <= known[left]):
            assert (left, right) in kept


@given(sets=SETS, buckets=st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_each_bucket_goes_the_way_with_the_fewest_pairs_that_knows_all_of_its_rows(
    sets: list[frozenset[int]], buckets: list[int]
) -> None:
    numbers = np.array(buckets[: len(sets)], dtype=np.uint64)
    known = np.array([bool(one) for one in sets])
    some = np.flatnonzero(known)
    prefix = prefix_entries([hashed(sets)], numbers, 0.6)
    contained = contained_entries(hashed([sets[at] for at in some]), numbers[some])
    contained = replace(contained, owners=some[contained.owners])
    chosen = fewest_pairs([(prefix, np.ones(len(sets), dtype=bool)), (contained, known)], numbers)
    for bucket in set(numbers.tolist()):
        ways = [pairs_of(one.only(numbers[one.owners] == bucket)) for one in (prefix, contained, chosen)]
        usable = ways[:2] if known[numbers == bucket].all() else ways[:1]
        assert ways[2] in usable


def test_rows_of_different_buckets_do_not_meet() -> None:
    sets = hashed([frozenset(range(8))] * 4)
    kept = pairs_of(prefix_entries([sets], np.array([1, 1, 2, 2], dtype=np.uint64), 0.8))
    assert kept == {(0, 1), (2, 3)}


@pytest.mark.parametrize("num_own", [15, 25])
def test_rows_that_share_boilerplate_and_have_words_of_their_own_leave_no_pair(num_own: int) -> None:
    """60 to 75 % of what two rows hold is the same, which makes most of their pairs candidates of MinHash."""
    sets = hashed(
        [frozenset({*range(90), *range(1000 + num_own * row, 1000 + num_own * (row + 1))}) for row in range(500)]
    )
    assert pairs_of(prefix_entries([sets], np.zeros(500, dtype=np.uint64), 0.8)) == set()


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_groups_are_the_same_with_and_without_the_filter(monkeypatch: pytest.MonkeyPatch, threshold: float) -> None:
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"{first}{second}" for first in "bcdfgklmnp" for second in ("an", "el", "ir", "os", "um")])
    base = [" ".join(rng.choice(vocabulary, 40)) for _ in range(6)]
    texts = []
    for _ in range(300):
        words = base[rng.integers(6)].split() + rng.choice(vocabulary, rng.integers(0, 12)).tolist()
        words[rng.integers(len(words))] = str(rng.choice(vocabulary))
        texts.append(" ".join(words))
    monkeypatch.setattr(near_duplicates, "LARGE_BUCKET", 1)
    filtered = near_duplicate_groups(texts, threshold=threshold)
    monkeypatch.setattr(near_duplicates, "LARGE_BUCKET", len(texts))
    assert filtered.tolist() == near_duplicate_groups(texts, threshold=threshold).tolist()
    assert 1 < len(set(filtered.tolist())) < len(texts)
