"""How far each search policy stays from the best strategy, replayed on real trainings: the strategy table's.

A policy searches on validation scores of one seed and is judged on test scores of the other seeds: its regret is
what the strategy that it measured best is worse there than the best of all. The space is that of the teams of which the
table has every strategy from several seeds. Policies that ask a model are left out: the table holds no replies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.statistics import NOISE_FLOOR_PER_SD
from autodp_ray.strategy import NONE, PAPER_TEAMS, Strategy, Team, strategy_space
from benchmarks.protocol import Figures
from benchmarks.regret import POLICIES, replay
from benchmarks.score_table import ScoreTable, read_table
from benchmarks.strategy_table import RESULT

EVALUATIONS = (2, 4, 8, 12, 16, 32)
NUM_STRATEGIES = 3
NUM_SEARCHES, SMOKE_SEARCHES = 60, 3
"""Of each policy, spread evenly over the seeds that are searched on."""


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Mean regrets by policy and number of scored strategies, beside the noise of one training."""
    table = read_table(RESULT)
    replayed = Replayed(table, whole_teams(table))
    num = SMOKE_SEARCHES if smoke else NUM_SEARCHES
    numbers = sorted({*(each for each in EVALUATIONS if each < len(replayed.space)), len(replayed.space)})
    regrets = {name: replayed.regrets(spec, numbers, num_searches=num) for name, spec in POLICIES.items()}
    return {
        "teams": ", ".join(replayed.teams),
        "strategies": len(replayed.space),
        "seeds": len(replayed.seeds),
        "searches": num,
        "noise_floor": replayed.noise_floor,
        "best_gain": float(np.mean([max(replayed.judged(seed).values()) for seed in replayed.seeds])),
        "regret": {
            name: {f"after_{num}": float(mean) for num, mean in zip(numbers, means, strict=True)}
            for name, means in regrets.items()
        },
    }


def whole_teams(table: ScoreTable) -> tuple[Team, ...]:
    """The most teams whose strategies all have at least two seeds.

    Raises: ValueError where there are no two such teams.
    """
    for size in range(len(PAPER_TEAMS), 1, -1):
        for teams in combinations(PAPER_TEAMS, size):
            if all(len(table.of(one)) > 1 for one in strategy_space(teams) if one):
                return teams
    raise ValueError("the table has no two teams of which every strategy was trained from two seeds")


class Replayed:
    """The table as a search sees it, and as it is judged."""

    def __init__(self, table: ScoreTable, teams: tuple[Team, ...]) -> None:
        self.teams = teams
        self.space = tuple(one for one in strategy_space(teams) if one)
        self._table = table
        by_strategy = [{one.seed for one in table.of(strategy)} for strategy in self.space]
        self.seeds = sorted(set.intersection(*by_strategy))
        baseline = table.of(NONE)
        self._validation_0 = float(np.mean([table.score(one, table.validation) for one in baseline]))
        self._test_0 = float(np.mean([table.score(one, table.test) for one in baseline]))
        self.noise_floor = NOISE_FLOOR_PER_SD * float(
            np.std([table.score(one, table.validation) for one in baseline], ddof=1)
        )

    def measured(self, seed: int) -> Mapping[Strategy, float]:
        """What a search from this seed sees: s on validation rows."""
        items = self._table.validation
        return {
            strategy: self._table.score(one, items) - self._validation_0
            for strategy in self.space
            for one in self._table.of(strategy)
            if one.seed == seed
        }

    def judged(self, seed: int) -> Mapping[Strategy, float]:
        """What the strategies are worth to the other seeds: s on test rows."""
        items = self._table.test
        return {
            strategy: float(
                np.mean([self._table.score(one, items) for one in self._table.of(strategy) if one.seed != seed])
            )
            - self._test_0
            for strategy in self.space
        }

    def regrets(self, spec: PolicySpec, numbers: Sequence[int], *, num_searches: int) -> Sequence[float]:
        """Mean regret of the strategy measured best after each number of scored strategies."""
        found = []
        for search in range(num_searches):
            seed = self.seeds[search % len(self.seeds)]
            measured, judged = self.measured(seed), self.judged(seed)
            task = AgentTask(num_strategies=NUM_STRATEGIES, teams=self.teams)
            policy = spec.build(PolicyInputs(task=task, seed=search))
            tried = replay(policy, measured, noise_floor=self.noise_floor, num=max(numbers))
            best = [max(tried[:num], key=measured.__getitem__) for num in numbers]
            found.append([max(judged.values()) - judged[one] for one in best])
        means: Sequence[float] = np.mean(found, axis=0).tolist()
        return means
