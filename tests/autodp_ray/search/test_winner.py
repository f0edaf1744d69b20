"""The winner: the shortest strategy that the items do not tell from the best."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodp_ray.search.loop import Evaluated
from autodp_ray.search.winner import shortest_of_the_best
from autodp_ray.statistics import Interval, ItemScores
from autodp_ray.strategy import Strategy

NUM_ITEMS = 40


def evaluated(text: str, gain: float, *, spread: float = 0.0, has_items: bool = True) -> Evaluated:
    """A strategy whose items gain `gain` on average, each more or less by `spread`."""
    values = [gain + (spread if at % 2 else -spread) for at in range(NUM_ITEMS)]
    items = ItemScores.of_values([f"item{at}" for at in range(NUM_ITEMS)], values)
    interval = Interval(estimate=gain, low=gain - 0.1, high=gain + 0.1)
    return Evaluated(strategy=Strategy.parse(text), score=interval, items=(items,) if has_items else ())


def won(best: Evaluated, *others: Evaluated) -> str:
    return str(shortest_of_the_best(best, [*others, best], seed=0, num_resamples=200).strategy)


LONG = evaluated("cleaning>optimization", 0.0461)


def test_a_longer_strategy_that_leads_by_chance_gives_way_to_the_shorter_one() -> None:
    assert won(LONG, evaluated("cleaning", 0.0454, spread=0.05)) == "cleaning"


def test_a_longer_strategy_that_is_better_on_every_item_wins() -> None:
    assert won(LONG, evaluated("cleaning", 0.0454)) == "cleaning>optimization"


def test_of_equally_short_ones_the_higher_is_taken() -> None:
    near = [evaluated("selection", 0.02, spread=0.3), evaluated("cleaning", 0.04, spread=0.3)]
    assert won(LONG, *near) == "cleaning"


@pytest.mark.parametrize(
    "other",
    [
        evaluated("none", 0.03, spread=0.5),
        evaluated("generation", -0.01, spread=0.5),
        evaluated("optimization>cleaning", 0.046, spread=0.5),
        evaluated("cleaning", 0.0454, spread=0.5, has_items=False),
        Evaluated(strategy=Strategy.parse("cleaning"), error="the endpoint is gone"),
    ],
    ids=["no processing", "no gain", "as long", "unknown items", "failed"],
)
def test_what_cannot_replace_the_best(other: Evaluated) -> None:
    assert won(LONG, other) == "cleaning>optimization"


@given(gains=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=6), spread=st.floats(0, 0.5))
@settings(max_examples=40, deadline=None)
def test_the_winner_gains_and_is_never_longer_than_the_best(gains: list[float], spread: float) -> None:
    names = ["cleaning", "cleaning>selection", "selection", "generation>cleaning", "optimization", "generation"]
    tried = [evaluated(name, gain, spread=spread) for name, gain in zip(names, gains, strict=False)]
    best = max(tried, key=lambda one: one.estimate)
    winner = shortest_of_the_best(best, tried, seed=0, num_resamples=50)
    assert winner is best or (winner.estimate > 0 and len(winner.strategy) < len(best.strategy))
