"""How far each search policy stays from the best strategy, replayed on real trainings: the strategy table's.

A policy searches on validation scores of one seed, against as many seeds of no processing as a run trains, and is
judged on test scores of the other seeds: its regret is what the strategy that it measured best is worse there than the
best of all. The space is that of the teams of which the table has every strategy from several seeds. Each search has
its own order of the teams, since most policies try single teams in the order that they are given; half of the searches
start with a round that is drawn, the same for every policy, so that what comes after it is told apart from a lucky
first one. The agent answers with its recorded replies, in as many rounds as the quickstart asks it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from types import MappingProxyType

import numpy as np

from autodp_ray.config.run_config import Config, load_config
from autodp_ray.runs.search_policy import agent_task
from autodp_ray.search.agent.agent import ChatModel, ProposalSource
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.policies.agent_surrogate import AgentSurrogateSearch
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.policies.mcts import MctsSearch
from autodp_ray.search.proposal import Proposal, StrategyScore
from autodp_ray.statistics import Floats, ItemScores, noise_floor, paired_interval
from autodp_ray.strategy import NONE, PAPER_TEAMS, Strategy, Team, strategy_space
from benchmarks.protocol import Figures
from benchmarks.recorded_replies import NotRecordedError, Replies
from benchmarks.regret import POLICIES, replay, tried
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
SHOWN = (1, 2, 3, 4, 6, 8, 12, 16)
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
        figures[start] = {name: each for name, each in found.items() if each is not None}
    return figures


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
        self.measured = cache(self._measured)
        self.judged = cache(self._judged)

    @cached_property
    def searches(self) -> tuple[Search, ...]:
        """All that are replayed, as many of each seed with a start of their own as with a drawn one."""
        return tuple(
            Search(table_seed=seed, number=number, is_drawn=is_drawn)
            for is_drawn in (False, True)
            for seed in self.seeds
            for number in range(ORDERS_PER_SEED)
        )

    def _measured(self, seed: int) -> Mapping[Strategy, StrategyScore]:
        """What a search from this seed sees: s on validation rows, with its interval."""
        found, baseline = {}, [self._validation_items(one) for one in self._seen_baseline(seed)]
        for strategy in self.space:
            (own,) = (self._validation_items(one) for one in self.table.of(strategy) if one.seed == seed)
            interval = paired_interval([own], baseline, seed=0)
            found[strategy] = StrategyScore(strategy=strategy, score=interval.estimate, ci95=interval.ci95)
        return found

    def _seen_baseline(self, seed: int) -> Sequence[ScoredTraining]:
        """The trainings of no processing that a run from this seed makes."""
        seeds = range(seed, seed + self._config.evaluation.baseline_seeds)
        return [one for one in self.table.of(NONE) if one.seed in seeds]

    def _seen_noise_floor(self, seed: int) -> float:
        return noise_floor([self.table.score(one, self.table.validation) for one in self._seen_baseline(seed)])

    def _judged(self, seed: int) -> Mapping[Strategy, float]:
        """What the strategies are worth to the other seeds: s on test rows."""
        items = self.table.test
        return {
            strategy: float(
                np.mean([self.table.score(one, items) for one in self.table.of(strategy) if one.seed != seed])
            )
            - self._test_0
            for strategy in self.space
        }

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

    def figures(self, spec: PolicySpec, searches: Sequence[Search], *, chat: ChatModel) -> Mapping[str, object] | None:
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
        means, errors = regrets.mean(axis=0), regrets.std(axis=0, ddof=1) / np.sqrt(len(regrets))
        near = np.flatnonzero(means <= self.noise_floor)
        shown = [num for num in SHOWN if num <= most]
        own = [one for rounds in replays for one in rounds if one.source in set(ProposalSource)]
        by_agent = sum(one.source == ProposalSource.AGENT for one in own)
        return {
            "searches": len(recorded),
            **{f"after_{num}": float(means[num - 1]) for num in shown},
            "standard_error": {f"after_{num}": float(errors[num - 1]) for num in shown},
            "evaluations_to_the_noise_floor": int(near[0]) + 1 if len(near) else None,
            "strategies_scored": float(np.mean([len(tried(one)) for one in replays])),
            "rounds_that_the_agent_chose": by_agent / len(own) if own else None,
        }

    def regrets(self, search: Search, rounds: Sequence[Proposal]) -> Floats:
        """Regret after 1, 2, ... scored strategies; that of a search that ended stays."""
        measured, judged = self.measured(search.table_seed), self.judged(search.table_seed)
        order = tried(rounds)
        best = [max(order[:num], key=lambda one: measured[one].score or 0.0) for num in range(1, MOST_EVALUATIONS + 1)]
        return max(judged.values()) - np.array([judged[one] for one in best])

    def _validation_items(self, training: ScoredTraining) -> ItemScores:
        return self.table.items(training, self.table.validation)
