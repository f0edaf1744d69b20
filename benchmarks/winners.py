"""What it costs to recommend a shorter strategy than the one that scored highest, and how often a longer one wins.

Searches are replayed on the strategy tables: each draws strategies and three seeds of no processing, sees one training
of each on validation rows, and is judged by the other seeds on test rows. In `alike` trainings of no processing are
played as the drawn strategies, so none is better than another and every longer winner is one by chance.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

import numpy as np

from autodp_ray.config.run_config import load_config
from autodp_ray.search.loop import Evaluated
from autodp_ray.search.winner import ONE_STANDARD_ERROR, shortest_of_the_best
from autodp_ray.statistics import LEVEL, MIN_BASELINE_SEEDS, ItemScores, paired_interval
from autodp_ray.strategy import NONE, Strategy
from benchmarks.protocol import Figures
from benchmarks.regret_table import Replayed, whole_teams
from benchmarks.score_table import read_table
from benchmarks.strategy_table import CONFIG, result_of

TWO_TEAMS = "configs/two-teams.yaml"
TRIED = (4, 8, 15)
"""Strategies that a search draws; the smaller table has 15."""
SEARCHES_PER_SEED, SEARCHES_ALIKE, SMOKE_SEARCHES = 24, 400, 2
NUM_RESAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which of the strategies of a search wins."""

    level: float | None
    """Of the paired interval by which a shorter one is tied with the best; None lets the highest score win."""
    knows_seeds: bool = True
    """Whether these intervals hold the spread between the baseline's seeds, or that of the items alone."""

    def winner(self, search: DrawnSearch) -> Strategy:
        """The choice; where nothing gains it is the best."""
        best = max(search.tried, key=lambda one: (one.estimate, -len(one.strategy)))
        if self.level is None or best.estimate <= 0:
            return best.strategy
        return shortest_of_the_best(
            best,
            search.tried,
            baseline=search.baseline if self.knows_seeds else (),
            seed=0,
            num_resamples=NUM_RESAMPLES,
            level=self.level,
        ).strategy


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "highest": Rule(level=None),
        "items": Rule(level=LEVEL, knows_seeds=False),
        "items_and_seeds": Rule(level=LEVEL),
        "one_standard_error": Rule(level=ONE_STANDARD_ERROR),
    }
)
"""The last is that of `autodp_ray.search.winner`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSearch:
    """What one search has seen, and what its strategies are truly worth."""

    tried: Sequence[Evaluated]
    baseline: Sequence[ItemScores]
    worth: Mapping[Strategy, float]
    """s of every strategy of the space, by other seeds on other rows."""


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Regret and length of the winner by setting, number of strategies and rule."""
    num, num_alike = (SMOKE_SEARCHES, SMOKE_SEARCHES) if smoke else (SEARCHES_PER_SEED, SEARCHES_ALIKE)
    quickstart, two_teams = map(_replayed, (CONFIG, TWO_TEAMS))
    return {
        "quickstart": {f"tried_{tried}": compared(drawn(quickstart, tried, num)) for tried in TRIED},
        "two_teams": {f"tried_{tried}": compared(drawn(two_teams, tried, num)) for tried in TRIED},
        "alike": {f"tried_{tried}": compared(drawn_alike(quickstart, tried, num_alike)) for tried in TRIED},
    }


def _replayed(config: str) -> Replayed:
    table = read_table(result_of(config))
    return Replayed(table, whole_teams(table), load_config(config))


def drawn(replayed: Replayed, num_tried: int, num_per_seed: int) -> Iterator[DrawnSearch]:
    """So many searches on the trainings of each seed."""
    table = replayed.table
    for seed, number in product(replayed.seeds, range(num_per_seed)):
        rng = random.Random(1000 * seed + number)
        strategies = rng.sample(replayed.space, num_tried)
        own = [next(one for one in table.of(each) if one.seed == seed) for each in strategies]
        baseline = rng.sample(table.of(NONE), MIN_BASELINE_SEEDS)
        yield _search(
            strategies,
            [table.items(one, table.validation) for one in own],
            [table.items(one, table.validation) for one in baseline],
            replayed.judged(seed),
        )


def drawn_alike(replayed: Replayed, num_tried: int, num: int) -> Iterator[DrawnSearch]:
    """Searches among trainings of no processing that bear the names of strategies."""
    table = replayed.table
    for number in range(num):
        rng = random.Random(number)
        trainings = rng.sample(table.of(NONE), num_tried + MIN_BASELINE_SEEDS)
        items = [table.items(one, table.validation) for one in trainings]
        strategies = rng.sample(replayed.space, num_tried)
        yield _search(strategies, items[:num_tried], items[num_tried:], dict.fromkeys(replayed.space, 0.0))


def _search(
    strategies: Sequence[Strategy],
    items: Sequence[ItemScores],
    baseline: Sequence[ItemScores],
    worth: Mapping[Strategy, float],
) -> DrawnSearch:
    tried = [
        Evaluated(strategy=strategy, items=(own,), score=paired_interval([own], baseline, seed=0, num_resamples=1))
        for strategy, own in zip(strategies, items, strict=True)
    ]
    return DrawnSearch(tried=tried, baseline=baseline, worth=worth)


def compared(found: Iterable[DrawnSearch]) -> Mapping[str, Mapping[str, float]]:
    """What each rule's winners are worth, how long they are, and how many of them are longer in vain."""
    searches = list(found)
    winners = {name: [rule.winner(one) for one in searches] for name, rule in RULES.items()}
    regrets = {
        name: np.array([max(one.worth.values()) - one.worth[each] for one, each in zip(searches, chosen, strict=True)])
        for name, chosen in winners.items()
    }
    highest = regrets["highest"]
    return {
        name: {
            "searches": len(searches),
            "regret": float(regrets[name].mean()),
            "regret_beyond_the_highest": float((regrets[name] - highest).mean()),
            "standard_error": float((regrets[name] - highest).std(ddof=1) / np.sqrt(len(searches))),
            "teams": float(np.mean([len(each) for each in chosen])),
            "longer_in_vain": float(np.mean([is_vain(each, one) for one, each in zip(searches, chosen, strict=True)])),
        }
        for name, chosen in winners.items()
    }


def is_vain(winner: Strategy, search: DrawnSearch) -> bool:
    """Whether a shorter strategy of the search is worth as much, and gained in it too."""
    shorter = (one for one in search.tried if len(one.strategy) < len(winner) and one.estimate > 0)
    return any(search.worth[one.strategy] >= search.worth[winner] for one in shorter)
