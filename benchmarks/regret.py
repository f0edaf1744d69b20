"""How far each search policy stays from the best strategy, by how many it has scored, on made landscapes of scores.

A landscape adds effects of teams, of order and of single strategies, spread like the scores of the quickstart's 64
strategies (sd 0.013). A policy sees one noisy score of each strategy that it tries, as in a run; its regret is what the
strategy that it measured best is truly worse than the best of all. `raced` tries fewer strategies for as many trainings
and trains the leaders again. No model is asked and nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from types import MappingProxyType

import numpy as np

from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.policies.exhaustive import ExhaustiveSearch
from autodp_ray.search.policies.mcts import MctsSearch
from autodp_ray.search.policies.neighbours import NeighbourSearch
from autodp_ray.search.policies.random import RandomSearch
from autodp_ray.search.policies.surrogate import SurrogateSearch
from autodp_ray.search.proposal import Feedback, History, Policy, Proposal, RoundScores, StrategyScore
from autodp_ray.statistics import NOISE_FLOOR_PER_SD
from autodp_ray.strategy import PAPER_TEAMS, Strategy, strategy_space
from benchmarks.protocol import Figures

POLICIES: Mapping[str, PolicySpec] = MappingProxyType(
    {
        "random": RandomSearch(),
        "exhaustive": ExhaustiveSearch(),
        "neighbours": NeighbourSearch(),
        "mcts": MctsSearch(insight=False),
        "ucb": SurrogateSearch(),
        "thompson": SurrogateSearch(acquisition="thompson"),
    }
)
NOISES = MappingProxyType({"one_training": 0.017, "a_third_of_it": 0.0057})
"""Standard deviation of a score between seeds."""
SPREAD = 0.013
RACE_SHARE = 0.25
"""Of the trainings, those that go to second trainings of as many leaders, as by `search.race_leaders`."""
EVALUATIONS = (4, 8, 16, 32)
NUM_SEARCHES, SMOKE_SEARCHES = 60, 2
START = "start"
"""The source of a first round that somebody else chose."""
SPACE = tuple(strategy for strategy in strategy_space() if strategy)


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Mean regrets by noise, policy and number of scored strategies."""
    num_searches = SMOKE_SEARCHES if smoke else NUM_SEARCHES
    return {
        noise: {
            f"{name}{suffix}": _by_evaluations(
                [regrets(spec, seed=seed, noise_sd=noise_sd, race_share=share) for seed in range(num_searches)]
            )
            for name, spec in POLICIES.items()
            for suffix, share in (("", 0.0), ("_raced", RACE_SHARE))
        }
        for noise, noise_sd in NOISES.items()
    }


def _by_evaluations(searches: Sequence[Sequence[float]]) -> dict[str, float]:
    means = np.mean(searches, axis=0)
    return {f"after_{num}": float(mean) for num, mean in zip(EVALUATIONS, means, strict=True)}


def landscape(seed: int) -> dict[Strategy, float]:
    """True scores of every strategy."""
    rng = np.random.default_rng(seed)
    teams = dict(zip(PAPER_TEAMS, rng.normal(size=len(PAPER_TEAMS)), strict=True))
    orders = {pair: rng.normal(scale=0.5) for pair in sorted({p for one in SPACE for p in pairwise(one.teams)})}
    raw = [
        sum(teams[team] for team in one.teams)
        + sum(orders[pair] for pair in pairwise(one.teams))
        + rng.normal(scale=0.5)
        for one in SPACE
    ]
    return dict(zip(SPACE, (np.asarray(raw) * SPREAD / np.std(raw)).tolist(), strict=True))


def regrets(spec: PolicySpec, *, seed: int, noise_sd: float, race_share: float = 0.0) -> list[float]:
    """One search's regret after each of `EVALUATIONS`, a share of which goes to second trainings of the leaders."""
    truth = landscape(seed)
    noise = np.random.default_rng([seed, 1]).normal(scale=noise_sd, size=(2, len(SPACE)))
    measured, again = ({one: truth[one] + float(each) for one, each in zip(SPACE, row, strict=True)} for row in noise)
    policy = spec.build(PolicyInputs(task=AgentTask(num_strategies=4), seed=seed))
    scores = {one: StrategyScore(strategy=one, score=each) for one, each in measured.items()}
    rounds = replay(policy, scores, noise_floor=noise_sd * NOISE_FLOOR_PER_SD, num=max(EVALUATIONS))
    chosen = []
    for num in EVALUATIONS:
        num_leaders = int(race_share * num)
        ranked = sorted(tried(rounds)[: num - num_leaders], key=measured.__getitem__, reverse=True)
        leaders = ranked[: max(1, num_leaders)]
        chosen.append(max(leaders, key=lambda one: measured[one] + again[one]))
    return [max(truth.values()) - truth[one] for one in chosen]


def replay(
    policy: Policy,
    table: Mapping[Strategy, StrategyScore],
    *,
    noise_floor: float,
    num: int,
    start: Sequence[Strategy] = (),
) -> tuple[Proposal, ...]:
    """The rounds of a policy until it ends or has tried `num` strategies; scores are the table's.

    A start is a first round that somebody else chose.
    """
    rounds: tuple[RoundScores, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    left = num
    while left > 0:
        if start and not rounds:
            proposal = Proposal(strategies=tuple(start), source=START)
        else:
            feedback = Feedback(rounds=rounds, noise_floor=noise_floor)
            proposal = policy.propose(History(feedback=feedback, proposals=proposals))
        if not proposal.strategies:
            break
        proposal = replace(proposal, strategies=proposal.strategies[:left])
        results = tuple(table[one] for one in proposal.strategies)
        rounds += (RoundScores(round=len(rounds) + 1, results=results),)
        proposals += (proposal,)
        left -= len(proposal.strategies)
    return proposals


def tried(rounds: Sequence[Proposal]) -> tuple[Strategy, ...]:
    """The strategies of all rounds, in their order."""
    return tuple(chain.from_iterable(one.strategies for one in rounds))
