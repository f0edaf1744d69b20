"""Intervals cover as often as they say, and the claim follows from the numbers alone."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodp_ray.statistics import (
    LARGEST_SCORE,
    Claim,
    Interval,
    ItemScores,
    _t_over_z,
    confirmable_gain,
    decide_claim,
    noise_floor,
    paired_interval,
    score,
)


def items(values: np.ndarray | list[float], *, weights: list[float] | None = None) -> ItemScores:
    ids = tuple(f"item-{at}" for at in range(len(values)))
    denominators = tuple(weights or [1.0] * len(values))
    numerators = tuple(float(value) * weight for value, weight in zip(values, denominators, strict=True))
    return ItemScores(ids=ids, numerators=numerators, denominators=denominators)


def test_the_score_weighs_items_by_their_denominators() -> None:
    loss = ItemScores(ids=("a", "b"), numerators=(-30.0, -10.0), denominators=(10.0, 30.0))
    assert score(loss) == pytest.approx(-1.0)
    assert score(ItemScores.of_values(["a", "b"], [0.2, 0.6])) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("ids", "numerators", "denominators"),
    [
        ((), (), ()),
        (("a",), (1.0, 2.0), (1.0,)),
        (("a", "a"), (1.0, 2.0), (1.0, 1.0)),
        (("a",), (math.nan,), (1.0,)),
        (("a",), (1.0,), (0.0,)),
        (("a",), (1e308,), (1.0,)),
        (("a",), (-1e51,), (1.0,)),
        (("a",), (1.0,), (1e308,)),
        (("a",), (1.0,), (5e-324,)),
    ],
)
def test_item_scores_that_give_no_score_are_refused(
    ids: tuple[str, ...], numerators: tuple[float, ...], denominators: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must be|unique"):
        ItemScores(ids=ids, numerators=numerators, denominators=denominators)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_the_same_scores_on_both_sides_give_exactly_zero(num_seeds: int) -> None:
    trained = [items(one) for one in np.random.default_rng(0).normal(size=(num_seeds, 50))]
    assert paired_interval(trained, trained, seed=1) == Interval(estimate=0.0, low=0.0, high=0.0)


def test_a_constant_gain_has_no_width_since_items_are_drawn_for_both_sides_at_once() -> None:
    base = np.random.default_rng(0).normal(size=80)
    interval = paired_interval([items(base + 0.25)], [items(base)], seed=1)
    assert interval.estimate == pytest.approx(0.25)
    assert interval.ci95 == pytest.approx((0.25, 0.25))


def test_the_interval_is_a_function_of_the_seed_and_not_of_the_item_order() -> None:
    rng = np.random.default_rng(0)
    one, other = items(rng.normal(size=40)), items(rng.normal(size=40))
    turned = ItemScores(ids=other.ids[::-1], numerators=other.numerators[::-1], denominators=other.denominators[::-1])
    assert paired_interval([one], [other], seed=3) == paired_interval([one], [turned], seed=3)
    assert paired_interval([one], [other], seed=3) != paired_interval([one], [other], seed=4)


def test_scores_of_other_items_cannot_be_paired() -> None:
    one = items([1.0, 2.0])
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_interval([one], [items([1.0, 2.0, 3.0])], seed=0)
    with pytest.raises(ValueError, match="at least one seed"):
        paired_interval([one], [], seed=0)


def test_cutting_the_resamples_into_batches_changes_nothing_with_one_seed_a_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(5)
    one, other = items(rng.normal(0.3, 1, size=60)), items(rng.normal(size=60))
    whole = paired_interval([one], [other], seed=3)
    monkeypatch.setattr("autodp_ray.statistics._MAX_WEIGHTS", 60 * 7)
    assert paired_interval([one], [other], seed=3) == whole


def test_scores_as_large_as_they_may_be_have_an_interval_and_a_noise_floor() -> None:
    sides = [[items([sign * LARGEST_SCORE] * 4) for sign in signs] for signs in ((1, 1, -1), (-1, -1, 1))]
    interval = paired_interval(*sides, seed=0, num_resamples=50)
    assert all(map(math.isfinite, (interval.estimate, *interval.ci95, confirmable_gain(interval.ci95))))
    assert math.isfinite(noise_floor([score(one) for one in sides[0]]))


@given(st.floats(0.1, 10), st.integers(0, 2**31))
@settings(max_examples=20)
def test_scaling_all_scores_scales_the_interval(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=20), rng.normal(size=20)
    plain = paired_interval([items(one)], [items(other)], seed=7, num_resamples=200)
    scaled = paired_interval([items(one * factor)], [items(other * factor)], seed=7, num_resamples=200)
    expected = [plain.estimate * factor, plain.low * factor, plain.high * factor]
    assert [scaled.estimate, scaled.low, scaled.high] == pytest.approx(expected, abs=1e-9)


def coverage(
    *, item_sd: float, seed_sd: float, num_items: int, num_seeds: tuple[int, int], num_noise: int = 0, trials: int = 400
) -> float:
    """How often the interval holds the true gain of 0.5, over simulated experiments with so many seeds on each side.

    `num_noise` seeds of a third strategy, which gains nothing, are given as the noise.
    """
    rng, truth, hits = np.random.default_rng(11), 0.5, 0
    for trial in range(trials):
        common = rng.normal(size=num_items)
        sides = [
            [
                items(gain + common + offset + rng.normal(0, item_sd, size=num_items))
                for offset in rng.normal(0, seed_sd, size=size)
            ]
            for gain, size in zip((truth, 0.0, 0.0), (*num_seeds, num_noise), strict=True)
        ]
        interval = paired_interval(sides[0], sides[1], noise=sides[2], seed=trial, num_resamples=300)
        hits += interval.low <= truth <= interval.high
    return hits / trials


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("item_sd", "seed_sd", "num_seeds", "num_noise"),
    [
        (1.0, 0.0, (1, 1), 0),
        (1.0, 0.0, (3, 3), 0),
        (0.3, 0.3, (3, 3), 0),
        (0.1, 0.5, (3, 3), 0),
        (0.1, 0.5, (5, 5), 0),
        (1.0, 0.0, (1, 3), 0),
        (0.1, 0.5, (1, 3), 0),
        (0.1, 0.5, (6, 1), 0),
        (1.0, 0.0, (1, 1), 3),
        (0.1, 0.5, (1, 1), 3),
        (0.1, 0.5, (1, 1), 6),
    ],
)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(
    item_sd: float, seed_sd: float, num_seeds: tuple[int, int], num_noise: int
) -> None:
    share = coverage(item_sd=item_sd, seed_sd=seed_sd, num_items=60, num_seeds=num_seeds, num_noise=num_noise)
    assert 0.90 <= share <= 0.995


@pytest.mark.parametrize("num_items", [3, 6, 12])
def test_the_interval_covers_the_truth_over_few_items_too(num_items: int) -> None:
    share = coverage(item_sd=1.0, seed_sd=0.0, num_items=num_items, num_seeds=(1, 1))
    assert 0.925 <= share <= 0.995  # two standard errors of 400 trials below 95 %


def test_one_seed_a_side_speaks_of_the_items_alone_and_misses_the_spread_between_seeds() -> None:
    assert coverage(item_sd=0.1, seed_sd=0.5, num_items=60, num_seeds=(1, 1)) < 0.5


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_noise_of_a_third_strategy_widens_intervals_of_one_seed_a_side_and_no_others(
    ours: int, theirs: int, third: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sides = [
        [items(rng.normal(offset, 0.1, size=20)) for offset in rng.normal(size=num)] for num in (ours, theirs, third)
    ]
    plain = paired_interval(sides[0], sides[1], seed=7, num_resamples=200)
    given_noise = paired_interval(sides[0], sides[1], noise=sides[2], seed=7, num_resamples=200)
    assert given_noise.estimate == plain.estimate
    if max(ours, theirs) > 1 or third < 2:
        assert given_noise == plain
    else:
        assert given_noise.high - given_noise.low > plain.high - plain.low


@pytest.mark.parametrize(("degrees", "quantile"), [(2, 4.3027), (4, 2.7764), (8, 2.3060), (30, 2.0423)])
def test_the_widening_is_the_t_quantile_over_the_normal_one(degrees: int, quantile: float) -> None:
    assert _t_over_z(degrees, level=0.95) == pytest.approx(quantile / 1.959964, rel=0.04)


def test_the_noise_floor_is_the_spread_of_a_difference_of_two_seeds() -> None:
    scores = [-2.71, -2.69, -2.74]
    assert noise_floor(scores) == pytest.approx(1.96 * math.sqrt(2) * statistics.stdev(scores))
    assert noise_floor([1.0, 1.0, 1.0]) == 0.0
    with pytest.raises(ValueError, match="needs 3 baseline seeds, got 2"):
        noise_floor([1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        noise_floor([1.0, 2.0, math.inf])


def span(low: float, high: float) -> Interval:
    return Interval(estimate=(low + high) / 2, low=low, high=high)


@pytest.mark.parametrize(
    ("validation_score", "test", "claim"),
    [
        (0.2, span(0.01, 0.3), Claim.CONFIRMED),
        (0.2, span(0.0, 0.3), Claim.UNCONFIRMED),
        (0.2, span(-0.1, 0.3), Claim.UNCONFIRMED),
        (0.2, span(-0.3, -0.1), Claim.UNCONFIRMED),
        (0.2, None, Claim.UNCONFIRMED),
        (0.0, span(0.1, 0.3), Claim.NONE),
        (-0.1, None, Claim.NONE),
        (None, None, Claim.NONE),
        (math.nan, span(0.1, 0.3), Claim.NONE),
    ],
)
def test_the_claim_follows_from_validation_first_and_then_the_test_interval(
    validation_score: float | None, test: Interval | None, claim: Claim
) -> None:
    assert decide_claim(validation_score=validation_score, test=test) is claim


@pytest.mark.parametrize("level", [0.95, 0.9875])
def test_a_confirmable_gain_is_confirmed_by_four_of_five_intervals_of_that_width(level: float) -> None:
    half = statistics.NormalDist().inv_cdf((1 + level) / 2)  # of a normal estimate with a standard deviation of 1
    gain = confirmable_gain((-half, half), level=level)
    assert 1 - statistics.NormalDist(mu=gain).cdf(half) == pytest.approx(0.8)
