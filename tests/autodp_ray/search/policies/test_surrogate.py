"""The surrogate on tables with known optima, and beside the agent."""

from __future__ import annotations

import numpy as np
import pytest

from autodp_ray.search.policies.agent_surrogate import AgentSurrogateSearch
from autodp_ray.search.policies.random import RandomSearch
from autodp_ray.search.policies.surrogate import SurrogateSearch
from autodp_ray.search.proposal import History, PolicyDecision
from autodp_ray.strategy import PAPER_TEAMS, Strategy
from tests.autodp_ray.search.policies.walking import (
    Replies,
    built,
    evaluations_to_find,
    going_on,
    landscape,
    proposed,
    walk,
)
from tests.autodp_ray.search.scores import feedback

EFFECTS = {"cleaning": 0.05, "optimization": 0.03, "generation": -0.02, "selection": -0.04, "translation": 0.02}


def additive(teams: tuple[str, ...]) -> float:
    """Effects of the teams, and a price for optimizing what was not cleaned."""
    unclean = "optimization" in teams and "cleaning" not in teams[: teams.index("optimization")]
    return sum(EFFECTS[team] for team in teams) - 0.02 * unclean


TABLE = landscape(additive)
SURROGATES = [SurrogateSearch(), SurrogateSearch(acquisition="thompson")]


@pytest.mark.parametrize("spec", SURROGATES, ids=["ucb", "thompson"])
def test_single_teams_come_first(spec: SurrogateSearch) -> None:
    assert proposed(built(spec, num_strategies=3), feedback()) == ["cleaning", "optimization", "generation"]
    told = feedback({"cleaning": 0.1, "optimization": None, "generation": 0.0})
    assert proposed(built(spec, num_strategies=3), told) == ["selection"]


@pytest.mark.parametrize("spec", SURROGATES, ids=["ucb", "thompson"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_additive_optimum_is_found_in_few_steps(spec: SurrogateSearch, seed: int) -> None:
    rounds, last = walk(built(spec, num_strategies=4, seed=seed), TABLE, noise_floor=0.005)
    assert evaluations_to_find("cleaning>optimization", rounds) <= 20
    assert (last.decision, last.best) == (PolicyDecision.BEST, Strategy.parse("cleaning>optimization"))


def test_a_fifth_team_is_a_team_like_any_other() -> None:
    teams = (*PAPER_TEAMS, "translation")
    table = landscape(additive, teams)
    policy = built(SurrogateSearch(), num_strategies=4, teams=teams)
    rounds, _ = walk(policy, table, at_most=40, noise_floor=0.005)
    assert max(table[name] for each in rounds for name in each) == pytest.approx(max(table.values()))


def noisy(sd: float, seed: int) -> dict[str, float]:
    noise = np.random.default_rng(seed).normal(scale=sd, size=len(TABLE))
    return {name: score + float(each) for (name, score), each in zip(TABLE.items(), noise, strict=True)}


def regret(spec: SurrogateSearch | RandomSearch, *, seed: int, num: int) -> float:
    """What the best-measured strategy of a search is truly worse than the optimum."""
    scores = noisy(0.005, seed)
    rounds, _ = walk(built(spec, num_strategies=4, seed=seed), scores, at_most=num, noise_floor=0.014)
    chosen = max((name for each in rounds for name in each), key=lambda name: scores[name])
    return max(TABLE.values()) - TABLE[chosen]


@pytest.mark.parametrize("spec", SURROGATES, ids=["ucb", "thompson"])
def test_under_noise_its_regret_is_below_that_of_random_draws(spec: SurrogateSearch) -> None:
    own = np.mean([regret(spec, seed=seed, num=16) for seed in range(12)])
    random = np.mean([regret(RandomSearch(), seed=seed, num=16) for seed in range(12)])
    assert own < 0.6 * random


def told_by(chat: Replies) -> str:
    return chat.asked[-1].split("\n\nCompare the strategies")[0]


TOLD = feedback({"cleaning": 0.05, "optimization": 0.03, "generation": -0.02, "selection": -0.04}, noise_floor=0.01)


def test_the_agent_is_shown_the_effects_of_its_own_scores() -> None:
    chat = Replies(going_on("cleaning>optimization"))
    proposed(built(AgentSurrogateSearch(), chat=chat), TOLD)
    lines = [line for line in told_by(chat).splitlines() if "±" in line]
    assert [line.split(":")[0] for line in lines] == [f"- {team}" for team in PAPER_TEAMS]
    assert lines[0].startswith("- cleaning: +0.0")
    assert "±" not in told_by(shown_without_scores())


def shown_without_scores() -> Replies:
    chat = Replies(going_on("cleaning"))
    proposed(built(AgentSurrogateSearch(), chat=chat), feedback())
    return chat


def test_the_most_promising_of_its_proposals_are_scored_and_the_rest_is_noted() -> None:
    said = ["selection>generation", "cleaning>optimization", "generation>selection", "optimization>cleaning"]
    policy = built(AgentSurrogateSearch(optimism=0), num_strategies=2, chat=Replies(going_on(*said)))
    proposal = policy.propose(History(feedback=TOLD))
    assert {str(one) for one in proposal.strategies} == {"cleaning>optimization", "optimization>cleaning"}
    assert proposal.source == "agent"
    assert proposal.notes == (
        "selection>generation promises less than the others; left out",
        "generation>selection promises less than the others; left out",
    )


def test_where_a_reply_cannot_be_used_the_surrogate_chooses() -> None:
    proposal = built(AgentSurrogateSearch(), chat=Replies("hm")).propose(History(feedback=TOLD))
    assert proposal.source == "fallback"
    assert list(map(str, proposal.strategies)) == proposed(built(SurrogateSearch()), TOLD)


def test_a_stop_that_the_scores_bear_out_ends_the_search() -> None:
    chat = Replies('{"reasons": "enough", "decision": "best", "strategies": [], "best": "cleaning"}')
    proposal = built(AgentSurrogateSearch(), chat=chat).propose(History(feedback=TOLD))
    assert (proposal.decision, proposal.best) == (PolicyDecision.BEST, Strategy.parse("cleaning"))


def test_with_a_useless_agent_it_is_the_surrogate() -> None:
    alone, _ = walk(built(SurrogateSearch(), num_strategies=4), TABLE, noise_floor=0.005)
    beside, _ = walk(built(AgentSurrogateSearch(), num_strategies=4, chat=Replies("hm")), TABLE, noise_floor=0.005)
    assert beside == alone
