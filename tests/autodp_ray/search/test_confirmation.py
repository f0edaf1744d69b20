"""A confirmation ends where something is decided, and its looks spend no more error than one interval would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.search.confirmation import Confirmation, Sides
from autodp_ray.statistics import LEVEL, ItemScores

NUM_ITEMS = 40


def items(rng: np.random.Generator, gain: float) -> ItemScores:
    return ItemScores.of_values([str(at) for at in range(NUM_ITEMS)], rng.normal(gain, 0.1, NUM_ITEMS).tolist())


class Trainings:
    """Trainings of a strategy with a known gain; notes how many were asked for."""

    def __init__(self, gain: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._candidate = [items(rng, gain) for _ in range(16)]
        self._baseline = [items(rng, 0.0) for _ in range(16)]
        self.asked: list[tuple[int, int]] = []

    def __call__(self, num_candidate: int, num_baseline: int) -> Sides:
        self.asked.append((num_candidate, num_baseline))
        return self._candidate[:num_candidate], self._baseline[:num_baseline]


@given(candidate=st.integers(2, 10), most=st.integers(2, 50) | st.none())
def test_looks_grow_to_the_most_and_together_spend_the_error_of_one(candidate: int, most: int | None) -> None:
    looks = list(Confirmation(candidate=candidate, baseline=candidate, most=most).looks())
    numbers = [num for num, _ in looks]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (candidate, max(candidate, most or 0))
    assert sum(1 - level for _, level in looks) == pytest.approx(1 - LEVEL)
    assert all(level >= LEVEL for _, level in looks)


def test_without_more_seeds_there_is_one_look_at_the_usual_level() -> None:
    assert list(Confirmation(candidate=3, baseline=6).looks()) == [(3, LEVEL)]


def test_a_clear_gain_is_decided_at_the_first_look() -> None:
    train = Trainings(gain=0.5)
    decided = Confirmation(candidate=3, baseline=6, most=8).decide(train, seed=0)
    assert decided.interval.low > 0
    assert train.asked == [(3, 6)]
    assert (len(decided.candidate), len(decided.baseline), decided.num_trainings) == (3, 6, 9)


def test_a_clear_loss_is_given_up_at_the_first_look() -> None:
    train = Trainings(gain=-0.5)
    decided = Confirmation(candidate=3, baseline=3, most=8).decide(train, seed=0)
    assert decided.interval.estimate < 0
    assert train.asked == [(3, 3)]


def test_what_is_not_decided_gets_more_seeds_on_both_sides() -> None:
    train = Trainings(gain=0.015, seed=2)
    decided = Confirmation(candidate=3, baseline=5, most=8).decide(train, seed=0)
    assert train.asked == [(3, 5), (6, 8), (8, 10)]
    assert decided.interval.low <= 0 < decided.interval.estimate


def test_false_claims_of_several_looks_stay_under_the_error_of_one() -> None:
    design = Confirmation(candidate=3, baseline=3, most=12)
    found = [design.decide(Trainings(0.0, seed), seed=seed, num_resamples=200).interval.low > 0 for seed in range(300)]
    assert 0 < np.mean(found) <= (1 - LEVEL) / 2 + 0.02  # two standard errors of 300 searches
