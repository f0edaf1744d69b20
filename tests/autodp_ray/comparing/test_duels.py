"""Wins, ties and losses: what is true of any scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.comparing.duels import Bout, figures
from autodp_ray.statistics import ItemScores, sign_test

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


def test_items_are_matched_by_their_ids() -> None:
    ours = ItemScores.of_values(["a", "b"], [1.0, 2.0])
    found = figures([Bout(ours=ours, theirs=ItemScores.of_values(["b", "a"], [2.0, 1.0]))], seed=1, num_resamples=100)
    assert found.ties == 1.0


def test_the_position_bias_is_that_of_all_verdicts() -> None:
    ours = ItemScores.of_values(["a", "b"], [1.0, 2.0])
    bouts = [Bout(ours=ours, theirs=ours, num_first=3, num_second=0), Bout(ours=ours, theirs=ours, num_second=1)]
    assert figures(bouts, seed=1, num_resamples=100).position_bias == 0.5
    assert figures([Bout(ours=ours, theirs=ours)], seed=1, num_resamples=100).position_bias is None


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (1, 9, 22 / 1024), (4, 4, 1)]
)
def test_the_sign_test_is_exact(wins: int, losses: int, p: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(p)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_the_sign_test_is_a_probability_at_any_size(wins: int, losses: int) -> None:
    assert 0 <= sign_test(wins, losses) <= 1
