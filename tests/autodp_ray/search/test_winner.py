"""The winner: the shortest strategy within one standard error of the best, of items and of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodp_ray.search.loop import Evaluated
from autodp_ray.search.winner import shortest_of_the_best
from autodp_ray.statistics import Interval, ItemScores, score
from autodp_ray.strategy import Strategy

NUM_ITEMS = 40


def evaluated(text: str, gain: float, *, spread: float = 0.0, has_items: bool = True) -> Evaluated:
    """A strategy whose items gain `gain` on average, each more or less by `spread`."""
    values = [gain + (spread if at % 2 else -spread) for at in range(NUM_ITEMS)]
    items = ItemScores.of_values([f"item{at}" for at in range(NUM_ITEMS)], values)
    interval = Interval(estimate=gain, low=gain - 0.1, high=gain + 0.1)
    return Evaluated(strategy=Strategy.parse(text), score=interval, items=(items,) if has_items else ())


def seeds(*gains: float) -> list[ItemScores]:
    """Trainings of no processing, each off by a gain on all items."""
    return [item for gain in gains for item in evaluated("none", gain).items]


def won(best: Evaluated, *others: Evaluated, baseline: Sequence[ItemScores] = ()) -> str:
    return str(shortest_of_the_best(best, [*others, best], baseline=baseline, seed=0, num_resamples=200).strategy)


LONG = evaluated("cleaning>optimization", 0.0461)


def test_a_longer_strategy_that_leads_by_chance_gives_way_to_the_shorter_one() -> None:
    assert won(LONG, evaluated("cleaning", 0.0454, spread=0.05)) == "cleaning"


def test_a_longer_strategy_that_is_better_on_every_item_wins() -> None:
    assert won(LONG, evaluated("cleaning", 0.0454)) == "cleaning>optimization"


@pytest.mark.parametrize(
    ("spread_of_seeds", "winner"),
    [(0.0, "cleaning>optimization"), (0.0001, "cleaning>optimization"), (0.01, "cleaning")],
)
def test_a_longer_strategy_that_leads_by_less_than_seeds_differ_gives_way(spread_of_seeds: float, winner: str) -> None:
    baseline = seeds(-spread_of_seeds, 0.0, spread_of_seeds)
    assert won(LONG, evaluated("cleaning", 0.0454), baseline=baseline) == winner


def test_strategies_that_were_trained_twice_show_their_own_spread() -> None:
    def twice(text: str, *gains: float) -> Evaluated:
        return replace(evaluated(text, sum(gains) / 2), items=tuple(seeds(*gains)))

    noisy = seeds(-1.0, 0.0, 1.0)
    assert won(twice("cleaning>optimization", 0.0460, 0.0461), twice("cleaning", 0.0450, 0.0451), baseline=noisy) == (
        "cleaning>optimization"
    )
    assert won(twice("cleaning>optimization", 0.04, 0.05), twice("cleaning", 0.03, 0.05), baseline=noisy) == "cleaning"


def share_won_by_longer_ones(*, knows_seeds: bool, num: int = 200) -> float:
    """Of simulated searches among strategies that are all alike but for their length."""
    rng, names, longer = np.random.default_rng(2), [f"item{at}" for at in range(NUM_ITEMS)], 0
    texts = ["cleaning", "selection", "cleaning>selection", "selection>cleaning"]
    for search in range(num):
        offsets = rng.normal(0.1, 0.02, size=len(texts) + 3)
        drawn = [ItemScores.of_values(names, gain + rng.normal(0, 0.05, size=NUM_ITEMS)) for gain in offsets]
        tried = [
            replace(evaluated(text, score(items)), items=(items,)) for text, items in zip(texts, drawn, strict=False)
        ]
        best = max(tried, key=lambda one: one.estimate)
        baseline = drawn[len(texts) :] if knows_seeds else ()
        winner = shortest_of_the_best(best, tried, baseline=baseline, seed=search, num_resamples=100)
        longer += len(winner.strategy) > 1
    return longer / num


def test_among_equals_a_longer_strategy_wins_no_more_often_than_its_interval_misses_on_one_side() -> None:
    share = share_won_by_longer_ones(knows_seeds=True)
    assert share < 0.16
    assert share_won_by_longer_ones(knows_seeds=False) > 2 * share


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


@given(
    gains=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=6),
    spread=st.floats(0, 0.5),
    noise=st.lists(st.floats(-0.1, 0.1), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_the_winner_gains_and_is_never_longer_than_the_best(
    gains: list[float], spread: float, noise: list[float]
) -> None:
    names = ["cleaning", "cleaning>selection", "selection", "generation>cleaning", "optimization", "generation"]
    tried = [evaluated(name, gain, spread=spread) for name, gain in zip(names, gains, strict=False)]
    best = max(tried, key=lambda one: one.estimate)
    winner = shortest_of_the_best(best, tried, baseline=seeds(*noise), seed=0, num_resamples=50)
    assert winner is best or (winner.estimate > 0 and len(winner.strategy) < len(best.strategy))
