"""Effects of teams from scores: what was planted is found, and unsure where nothing was seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodp_ray.search.effects import estimate_effects
from autodp_ray.strategy import PAPER_TEAMS, Strategy, strategy_space
from tests.autodp_ray.search.scores import feedback

SPACE = [one for one in strategy_space() if one]
PLANTED = {"cleaning": 0.05, "optimization": 0.01, "generation": -0.02, "selection": -0.04}
BEFORE = {("cleaning", "selection"): 0.03}


def planted(strategy: Strategy) -> float:
    pairs = zip(strategy.teams, strategy.teams[1:], strict=False)
    return sum(PLANTED[team] for team in strategy.teams) + sum(BEFORE.get(pair, 0.0) for pair in pairs)


def measured(strategies: list[Strategy], *, sd: float = 0.0, seed: int = 0) -> dict[str, float | None]:
    noise = np.random.default_rng(seed).normal(scale=sd, size=len(strategies)) if sd else np.zeros(len(strategies))
    return {str(one): planted(one) + float(each) for one, each in zip(strategies, noise, strict=True)}


def test_with_every_score_the_expected_scores_are_the_planted_ones() -> None:
    estimate = estimate_effects(feedback(measured(SPACE), noise_floor=0.005), PAPER_TEAMS)
    mean, sd = estimate.expected(SPACE)
    assert mean == pytest.approx([planted(one) for one in SPACE], abs=0.004)
    assert sd.max() < 0.003


def test_teams_that_were_scored_have_effects_and_pairs_in_their_order() -> None:
    told = feedback(measured(SPACE[:4]), {"cleaning>selection": 0.04}, noise_floor=0.01)
    effects = {str(one.of): one for one in estimate_effects(told, PAPER_TEAMS).effects(told.scored)}
    assert list(effects) == [*PAPER_TEAMS, "cleaning>selection"]
    assert effects["cleaning"].mean > 0.02 > 0 > effects["selection"].mean
    assert effects["cleaning>selection"].mean > 0


def test_without_scores_nothing_is_expected_and_nothing_told() -> None:
    estimate = estimate_effects(feedback({"cleaning": None}), PAPER_TEAMS)
    mean, sd = estimate.expected(SPACE)
    assert np.all(mean == 0)
    assert np.all(sd > 0)
    assert estimate.effects(()) == ()


def test_what_was_scored_is_surer_than_what_was_not() -> None:
    told = feedback(measured([Strategy.parse("cleaning"), Strategy.parse("optimization")]), noise_floor=0.01)
    _, sd = estimate_effects(told, PAPER_TEAMS).expected([Strategy.parse(name) for name in ("cleaning", "selection")])
    assert sd[0] < sd[1]


def test_intervals_of_the_estimate_hold_the_planted_scores_about_as_often_as_they_say() -> None:
    inside = []
    for seed in range(20):
        scored = [SPACE[at] for at in np.random.default_rng(100 + seed).permutation(len(SPACE))[:24]]
        told = feedback(measured(scored, sd=0.01, seed=seed), noise_floor=0.01 * 1.96 * 2**0.5)
        mean, sd = estimate_effects(told, PAPER_TEAMS).expected(SPACE)
        inside.append(np.abs(mean - [planted(one) for one in SPACE]) < 1.96 * sd)
    assert 0.85 < np.mean(inside) <= 1.0


@given(
    st.dictionaries(st.sampled_from([str(one) for one in SPACE]), st.none() | st.floats(-1, 1), max_size=12),
    st.floats(0, 0.2),
    st.sampled_from(SPACE),
)
@settings(max_examples=60, deadline=None)
def test_a_trial_as_expected_makes_surer_and_changes_no_mean(
    scores: dict[str, float | None], noise_floor: float, tried: Strategy
) -> None:
    before = estimate_effects(feedback(scores, noise_floor=noise_floor), PAPER_TEAMS)
    after = before.with_trial(tried)
    (mean, sd), (later_mean, later_sd) = before.expected(SPACE), after.expected(SPACE)
    assert np.array_equal(mean, later_mean)
    assert np.all(later_sd <= sd * (1 + 1e-6) + 1e-9)
    assert np.all(np.isfinite(mean))


def test_draws_scatter_as_the_estimate_says() -> None:
    estimate = estimate_effects(feedback(measured(SPACE[:8]), noise_floor=0.02), PAPER_TEAMS)
    rng = np.random.default_rng(0)
    draws = np.stack([estimate.drawn(SPACE[:10], rng=rng) for _ in range(4000)])
    mean, sd = estimate.expected(SPACE[:10])
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.1 * sd.max())
    assert draws.std(axis=0) == pytest.approx(sd, rel=0.1)
