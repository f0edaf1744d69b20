"""Wins, ties and losses: what is true of any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.comparing.duels import Bout, figures, figures_over_repeats
from autodp_ray.statistics import Floats, ItemScores, sign_test

VALUES = st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=2, max_size=12)


def bout(values: list[tuple[int, int]], *, turned: bool = False) -> Bout:
    ids = [f"i{at}" for at in range(len(values))]
    ours, theirs = (ItemScores.of_values(ids, [float(pair[side]) for pair in values]) for side in (0, 1))
    return Bout(ours=theirs, theirs=ours) if turned else Bout(ours=ours, theirs=theirs)


@given(VALUES)
def test_shares_add_up_and_turn_with_the_sides(values: list[tuple[int, int]]) -> None:
    found = figures([bout(values)], seed=1, num_resamples=100)
    turned = figures([bout(values, turned=True)], seed=1, num_resamples=100)
    assert found.wins + found.ties + found.losses == pytest.approx(1.0)
    assert (found.wins, found.ties, found.losses) == (turned.losses, turned.ties, turned.wins)
    assert found.interval.estimate == pytest.approx(-turned.interval.estimate)
    assert found.sign_test_p == turned.sign_test_p


def test_a_win_is_by_the_mean_over_the_bouts() -> None:
    found = figures([bout([(3, 0), (0, 1), (1, 0)]), bout([(0, 1), (0, 1), (0, 1)])], seed=1, num_resamples=100)
    assert (found.wins, found.ties, found.losses) == (1 / 3, 1 / 3, 1 / 3)


@given(st.lists(VALUES.filter(lambda values: len(values) > 3), min_size=2, max_size=3), st.integers(1, 4))
def test_repeats_that_chose_the_same_models_make_no_interval_narrower(
    models: list[list[tuple[int, int]]], num_repeats: int
) -> None:
    shortest = min(map(len, models))
    once = [bout(values[:shortest]) for values in models]
    expected = figures(once, seed=1, num_resamples=50)
    found = figures_over_repeats([once] * num_repeats, seed=1, num_resamples=50)
    assert found.interval.low == pytest.approx(expected.interval.low)
    assert found.interval.high == pytest.approx(expected.interval.high)
    assert (found.wins, found.losses) == (expected.wins, expected.losses)


@given(st.lists(VALUES.filter(lambda values: len(values) > 3), min_size=2, max_size=3))
def test_models_that_meet_themselves_differ_by_exactly_zero(models: list[list[tuple[int, int]]]) -> None:
    shortest = min(map(len, models))
    selves = [bout([(ours, ours) for ours, _ in values[:shortest]]) for values in models]
    found = figures_over_repeats([selves], seed=1, num_resamples=50)
    assert (found.wins, found.ties, found.losses) == (0.0, 1.0, 0.0)
    assert (found.interval.estimate, *found.interval.ci95) == (0.0, 0.0, 0.0)
    assert found.sign_test_p == 1.0


@given(st.integers(2, 5), st.integers(2, 4), st.integers(1, 3), st.integers(0, 2**31))
def test_sides_that_chose_the_same_models_in_other_repeats_tie_on_every_item(
    num_repeats: int, num_items: int, num_seeds: int, seed: int
) -> None:
    """However their sums are rounded."""
    rng, ids = np.random.default_rng(seed), [f"i{at}" for at in range(num_items)]
    models = [[ItemScores.of_values(ids, rng.normal(size=num_items).tolist()) for _ in range(num_seeds)] for _ in ids]
    chosen = rng.integers(0, len(models), size=num_repeats)
    repeats = [
        [Bout(ours=ours, theirs=theirs) for ours, theirs in zip(models[one], models[other], strict=True)]
        for one, other in zip(chosen, rng.permutation(chosen), strict=True)
    ]
    found = figures_over_repeats(repeats, seed=1, num_resamples=50)
    assert (found.wins, found.ties, found.losses, found.sign_test_p) == (0.0, 1.0, 0.0, 1.0)


def test_verdicts_that_cancel_out_over_repeats_and_seeds_are_a_tie() -> None:
    zero = ItemScores(ids=("a", "b"), numerators=(0.0, 0.0), denominators=(2.0, 2.0))

    def judged(margin: float) -> Bout:
        return Bout(ours=ItemScores(ids=("a", "b"), numerators=(margin, 1.0), denominators=(2.0, 2.0)), theirs=zero)

    sums = [1, 2, -3]  # of ten repeats, by seed: tenths of these do not add up to zero
    repeats = [[judged(float(np.sign(total)) * (at < abs(total))) for total in sums] for at in range(10)]
    found = figures_over_repeats(repeats, seed=1, num_resamples=50)
    assert (found.wins, found.ties, found.losses) == (0.5, 0.5, 0.0)


def test_repeats_that_tie_draw_the_difference_and_its_interval_to_zero() -> None:
    decided = [bout([(3, 0), (1, 2), (0, 1), (2, 0)]), bout([(2, 0), (1, 1), (0, 2), (1, 0)])]
    selves = [bout([(3, 3), (1, 1), (0, 0), (2, 2)])] * 2
    alone, among = (
        figures_over_repeats(each, seed=1, num_resamples=50) for each in ([decided], [decided, selves, selves])
    )
    assert (among.wins, among.losses) == (alone.wins, alone.losses)
    assert among.interval.estimate == pytest.approx(alone.interval.estimate / 3)
    assert among.interval.ci95 == pytest.approx([end / 3 for end in alone.interval.ci95])


def without_gain(rng: np.random.Generator, *, num_seeds: int = 3, num_repeats: int = 5) -> list[list[Bout]]:
    """By repeat and seed: each repeat chose one of two strategies, whose models are alike but for noise."""
    ids = [f"i{at}" for at in range(60)]
    easy, chosen = rng.normal(size=len(ids)), rng.integers(0, 2, num_repeats)

    def trained() -> ItemScores:
        scores: Floats = easy + rng.normal(0, 0.3) + rng.normal(0, 0.3, len(ids))
        return ItemScores.of_values(ids, scores.tolist())

    models = [([trained(), trained()], trained()) for _ in range(num_seeds)]
    return [[Bout(ours=ours[one], theirs=theirs) for ours, theirs in models] for one in chosen]


@pytest.mark.heavy
def test_the_interval_over_repeats_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, hits, trials = np.random.default_rng(3), 0, 300
    for trial in range(trials):
        interval = figures_over_repeats(without_gain(rng), seed=trial, num_resamples=300).interval
        hits += interval.low <= 0 <= interval.high
    assert 0.90 <= hits / trials <= 0.995


def test_items_are_matched_by_their_ids() -> None:
    ours = ItemScores.of_values(["a", "b"], [1.0, 2.0])
    found = figures([Bout(ours=ours, theirs=ItemScores.of_values(["b", "a"], [2.0, 1.0]))], seed=1, num_resamples=100)
    assert found.ties == 1.0


def test_the_position_bias_is_that_of_all_verdicts() -> None:
    ours = ItemScores.of_values(["a", "b"], [1.0, 2.0])
    verdicts = [{"judge_first": 3, "judge_wins": 3, "judge_abstentions": 1}, {"judge_second": 1, "judge_losses": 1}]
    found = figures([Bout(ours=ours, theirs=ours, counts=each) for each in verdicts], seed=1, num_resamples=100)
    assert (found.position_bias, found.abstained_frac) == (0.5, 0.2)
    found = figures([Bout(ours=ours, theirs=ours)], seed=1, num_resamples=100)
    assert (found.position_bias, found.abstained_frac) == (None, None)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (1, 9, 22 / 1024), (4, 4, 1)]
)
def test_the_sign_test_is_exact(wins: int, losses: int, p: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(p)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_the_sign_test_is_a_probability_at_any_size(wins: int, losses: int) -> None:
    assert 0 <= sign_test(wins, losses) <= 1
