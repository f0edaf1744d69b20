"""How far each search policy stays from the best strategy, replayed on real trainings: the strategy table's.

A policy searches on validation scores of one seed, against as many seeds of no processing as a run trains, and is
judged on test scores of the other seeds: its regret is what the strategy that it measured best is worse there than the
best of all. What a run would recommend in its place, by the rule of `autodp_ray.search.winner`, is judged too. The
space is that of the teams of which the table has every strategy from several seeds. Each search has its own order of
the teams, since most policies try single teams in the order that they are given; half of the searches start with a
round that is drawn, the same for every policy, so that what comes after it is told apart from a lucky first one. The
agent answers with its recorded replies, in as many rounds as the quickstart asks it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from autodp_ray.config.run_config import Config, load_config
from autodp_ray.runs.search_policy import agent_task
from autodp_ray.search.agent.agent import ChatModel, ProposalSource
from autodp_ray.search.loop import Evaluated
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.policies.agent_surrogate import AgentSurrogateSearch
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.policies.mcts import MctsSearch
from autodp_ray.search.proposal import Proposal, StrategyScore
from autodp_ray.search.winner import shortest_of_the_best
from autodp_ray.statistics import Floats, ItemScores, noise_floor, paired_interval, score
from autodp_ray.strategy import NONE, PAPER_TEAMS, Strategy, Team, strategy_space
from benchmarks.protocol import Figures
from benchmarks.recorded_replies import NotRecordedError, Replies
from benchmarks.regret import POLICIES, START, replay, tried
from benchmarks.score_table import ScoredTraining, ScoreTable, read_table
from benchmarks.strategy_table import CONFIG, result_of

ASKING: Mapping[str, PolicySpec] = MappingProxyType(
    {"agent": AgentSearch(), "agent_surrogate": AgentSurrogateSearch(), "mcts_agent": MctsSearch()}
)
"""Policies that ask the agent; `mcts_agent` in its first round alone."""
RECORDED = Path(__file__).with_name("results") / "agent_replies.parquet"
MOST_EVALUATIONS = 16
ASKED_EVALUATIONS = 6
"""Two rounds."""
SHOWN = (1, 2, 3, 4, 5, 6, 8, 12, 16)
NUM_RESAMPLES = 500
ORDERS_PER_SEED, SMOKE_SEARCHES, MIN_SEARCHES = 8, 2, 5


def run(rows: int | None = None, smoke: bool = False, config: str = CONFIG) -> Figures:
    """Mean regrets by start, policy and number of scored strategies, beside the noise of one training."""
    table = read_table(result_of(config))
    replayed = Replayed(table, whole_teams(table), load_config(config))
    replies = Replies.read(RECORDED)
    figures: dict[str, object] = {
        "teams": ", ".join(replayed.teams),
        "strategies": len(replayed.space),
        "seeds": len(replayed.seeds),
        "noise_floor": replayed.noise_floor,
        "best_gain": float(np.mean([max(replayed.judged(seed).values()) for seed in replayed.seeds])),
    }
    for start in ("own_start", "drawn_start"):
        searches = [one for one in replayed.searches if one.is_drawn == (start == "drawn_start")]
        searches = searches[:SMOKE_SEARCHES] if smoke else searches
        policies = {**POLICIES, **ASKING}
        if start == "drawn_start":
            del policies["mcts_agent"]  # it asks in the first round alone
        found = {name: replayed.figures(spec, searches, chat=replies) for name, spec in policies.items()}
        replayable = {name: each for name, each in found.items() if each is not None}
        figures[start] = replayable
        if {"agent", "agent_surrogate"} <= replayable.keys():
            figures[f"{start}_of_agent_surrogate"] = beside_the_others(replayable)
    return figures


def beside_the_others(found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, float | None]:
    """What agent and surrogate together are worth beside each of them alone, and beside random draws."""

    def regrets(name: str) -> Floats:
        return np.array([found[name][f"after_{num}"] for num in SHOWN if num <= ASKED_EVALUATIONS])

    together, better = regrets("agent_surrogate"), np.minimum(regrets("agent"), regrets("ucb"))
    near, of_random = (found[name]["evaluations_to_the_noise_floor"] for name in ("agent_surrogate", "random"))
    return {
        "most_above_the_better": float((together - better).max()),
        "evaluations_over_those_of_random": None if near is None or of_random is None else near / of_random,
    }


def most_evaluations(spec: PolicySpec) -> int:
    """How many strategies a policy may score here."""
    return ASKED_EVALUATIONS if spec.roles else MOST_EVALUATIONS


def whole_teams(table: ScoreTable) -> tuple[Team, ...]:
    """The most teams whose strategies all have at least two seeds.

    Raises: ValueError where there are no two such teams.
    """
    for size in range(len(PAPER_TEAMS), 1, -1):
        for teams in combinations(PAPER_TEAMS, size):
            if all(len(table.of(one)) > 1 for one in strategy_space(teams) if one):
                return teams
    raise ValueError("the table has no two teams of which every strategy was trained from two seeds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One search that is replayed."""

    table_seed: int
    """The training seed whose scores it sees."""
    number: int
    """Tells it from the others of that seed: the order of its teams, and what is drawn."""
    is_drawn: bool
    """Whether its first round is drawn."""

    @property
    def seed(self) -> int:
        """Of what is drawn; those of two searches lie further apart than the seeds that one uses."""
        return 100 * (100 * self.table_seed + self.number)

    def seed_of(self, spec: PolicySpec) -> int:
        """A policy's. The agent's is the same whatever it is told later, so that its first replies serve all seeds of
        the table."""
        return 100 * self.number if spec.roles else self.seed

    def order(self, teams: Sequence[Team]) -> tuple[Team, ...]:
        """The teams as this search names them."""
        return tuple(random.Random(self.number).sample(teams, len(teams)))


class Replayed:
    """The table as a search sees it, and as it is judged."""

    def __init__(self, table: ScoreTable, teams: tuple[Team, ...], config: Config) -> None:
        self.teams = teams
        self._config = config
        self.space = tuple(one for one in strategy_space(teams) if one)
        self.table = table
        by_strategy = [{one.seed for one in table.of(strategy)} for strategy in self.space]
        self.seeds = sorted(set.intersection(*by_strategy))
        baseline = table.of(NONE)
        self._test_0 = float(np.mean([table.score(one, table.test) for one in baseline]))
        self.noise_floor = noise_floor([table.score(one, table.validation) for one in baseline])
        self.evaluated = cache(self._evaluated)
        self.judged = cache(self._judged)
        self.recommended = cache(self._recommended)

    @cached_property
    def searches(self) -> tuple[Search, ...]:
        """All that are replayed, as many of each seed with a start of their own as with a drawn one."""
        return tuple(
            Search(table_seed=seed, number=number, is_drawn=is_drawn)
            for is_drawn in (False, True)
            for seed in self.seeds
            for number in range(ORDERS_PER_SEED)
        )

    def _evaluated(self, seed: int) -> Mapping[Strategy, Evaluated]:
        """What a search from this seed evaluates: s on validation rows, with its interval and items."""
        found, baseline = {}, self._seen_baseline(seed)
        for strategy in self.space:
            (own,) = (self._validation_items(one) for one in self.table.of(strategy) if one.seed == seed)
            interval = paired_interval([own], baseline, seed=0)
            found[strategy] = Evaluated(strategy=strategy, score=interval, items=(own,))
        return found

    def measured(self, seed: int) -> Mapping[Strategy, StrategyScore]:
        """What a policy is told of that."""
        return {strategy: one.told for strategy, one in self.evaluated(seed).items()}

    def _recommended(self, seed: int, tried: frozenset[Strategy]) -> Strategy:
        """What a run that has tried these strategies recommends: no processing where none of them gains."""
        found = [one for strategy, one in self.evaluated(seed).items() if strategy in tried]
        best = max(found, key=lambda one: one.estimate)
        if best.estimate <= 0:
            return NONE
        baseline = self._seen_baseline(seed)
        return shortest_of_the_best(best, found, baseline=baseline, seed=0, num_resamples=NUM_RESAMPLES).strategy

    def _seen_baseline(self, seed: int) -> Sequence[ItemScores]:
        """The scores of no processing that a run from this seed has on validation rows."""
        seeds = range(seed, seed + self._config.evaluation.baseline_seeds)
        return [self._validation_items(one) for one in self.table.of(NONE) if one.seed in seeds]

    def _seen_noise_floor(self, seed: int) -> float:
        return noise_floor([score(one) for one in self._seen_baseline(seed)])

    def _judged(self, seed: int) -> Mapping[Strategy, float]:
        """What the strategies, and no processing, are worth to the other seeds: s on test rows."""
        items = self.table.test
        means = {
            strategy: np.mean([self.table.score(one, items) for one in self.table.of(strategy) if one.seed != seed])
            for strategy in self.space
        }
        return {NONE: 0.0, **{strategy: float(mean) - self._test_0 for strategy, mean in means.items()}}

    def replay(self, spec: PolicySpec, search: Search, *, chat: ChatModel) -> tuple[Proposal, ...]:
        """One search: its rounds, each scored by the table."""
        settings = self._config.search.model_copy(update={"teams": search.order(self.teams)})
        task = agent_task(self._config.model_copy(update={"search": settings}), "en")
        drawn = random.Random(search.seed).sample(self.space, task.num_strategies)
        return replay(
            spec.build(PolicyInputs(task=task, seed=search.seed_of(spec), chat=chat)),
            self.measured(search.table_seed),
            noise_floor=self._seen_noise_floor(search.table_seed),
            num=most_evaluations(spec),
            start=drawn if search.is_drawn else (),
        )

    def figures(self, spec: PolicySpec, searches: Sequence[Search], *, chat: ChatModel) -> Mapping[str, Any] | None:
        """What the searches of one policy come to; those whose replies are not recorded are left out."""
        recorded: dict[Search, tuple[Proposal, ...]] = {}
        for one in searches:
            with suppress(NotRecordedError):
                recorded[one] = self.replay(spec, one, chat=chat)
        if len(recorded) < MIN_SEARCHES:
            return None
        replays = list(recorded.values())
        most = min(most_evaluations(spec), len(self.space))
        regrets = np.array([self.regrets(*one)[:most] for one in recorded.items()])
        recommended = np.array([self.regrets_of_recommended(*one)[:most] for one in recorded.items()])
        means, errors = regrets.mean(axis=0), regrets.std(axis=0, ddof=1) / np.sqrt(len(regrets))
        near = np.flatnonzero(means <= self.noise_floor)
        shown = [num for num in SHOWN if num <= most]
        sources = [one.source_of(each) for rounds in replays for one in rounds for each in one.strategies]
        return {
            "searches": len(recorded),
            **{f"after_{num}": float(means[num - 1]) for num in shown},
            "standard_error": {f"after_{num}": float(errors[num - 1]) for num in shown},
            "recommended": {f"after_{num}": float(recommended.mean(axis=0)[num - 1]) for num in shown},
            "evaluations_to_the_noise_floor": int(near[0]) + 1 if len(near) else None,
            "strategies_scored": float(np.mean([len(tried(one)) for one in replays])),
            "share_of_the_agent": sources.count(ProposalSource.AGENT) / (len(sources) - sources.count(START)),
        }

    def regrets(self, search: Search, rounds: Sequence[Proposal]) -> Floats:
        """Regret of the strategy that scored highest, after 1, 2, ... of them; that of a search that ended stays."""
        found = self.evaluated(search.table_seed)
        return self._regrets_of(lambda those: max(those, key=lambda one: found[one].estimate), search, rounds)

    def regrets_of_recommended(self, search: Search, rounds: Sequence[Proposal]) -> Floats:
        """Regret of what a run would recommend, likewise."""
        return self._regrets_of(lambda those: self.recommended(search.table_seed, frozenset(those)), search, rounds)

    def _regrets_of(
        self, choose: Callable[[Sequence[Strategy]], Strategy], search: Search, rounds: Sequence[Proposal]
    ) -> Floats:
        judged, order = self.judged(search.table_seed), tried(rounds)
        chosen = [choose(order[:num]) for num in range(1, MOST_EVALUATIONS + 1)]
        return max(judged.values()) - np.array([judged[one] for one in chosen])

    def _validation_items(self, training: ScoredTraining) -> ItemScores:
        return self.table.items(training, self.table.validation)
