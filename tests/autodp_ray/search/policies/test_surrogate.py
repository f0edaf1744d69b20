"""The surrogate on tables with known optima, and beside the agent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from autodp_ray.search.policies.agent_surrogate import AgentSurrogateSearch
from autodp_ray.search.policies.random import RandomSearch
from autodp_ray.search.policies.surrogate import SurrogateSearch
from autodp_ray.search.proposal import History, PolicyDecision, PromptMessage
from autodp_ray.strategy import PAPER_TEAMS, Strategy
from operators.contract.resources import Completion
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
def test_single_teams_come_first_and_leave_no_place_empty(spec: SurrogateSearch) -> None:
    assert set(proposed(built(spec, num_strategies=4), feedback())) == set(PAPER_TEAMS)
    told = feedback({"cleaning": 0.1, "optimization": None, "generation": 0.0})
    chosen = proposed(built(spec, num_strategies=3), told)
    assert chosen[0] == "selection"
    assert len(chosen) == 3


def test_single_teams_come_in_the_order_of_their_promise_and_before_any_score_as_they_are_named() -> None:
    policy = built(SurrogateSearch(), num_strategies=2)
    assert proposed(policy, feedback()) == ["cleaning", "optimization"]
    told = feedback({"optimization>cleaning": -0.3, "selection>generation": 0.1, "selection": 0.0}, noise_floor=0.01)
    assert proposed(policy, told)[0] == "generation"


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


def test_the_most_promising_of_its_proposals_has_the_last_place_and_the_rest_is_noted() -> None:
    said = ["selection>generation", "optimization>cleaning", "selection"]
    policy = built(AgentSurrogateSearch(optimism=0), num_strategies=2, chat=Replies(going_on(*said)))
    proposal = policy.propose(History(feedback=feedback({"cleaning": 0.05, "optimization": 0.03}, noise_floor=0.01)))
    assert list(map(str, proposal.strategies)) == ["generation", "optimization>cleaning"]
    assert proposal.source == "surrogate"
    assert proposal.other_sources == {Strategy.parse("optimization>cleaning"): "agent"}
    assert proposal.notes == (
        "selection>generation promises less than the others; left out",
        "selection promises less than the others; left out",
    )


def test_before_any_score_it_is_the_first_of_its_proposals() -> None:
    chat = Replies(going_on("selection", "generation>cleaning", "cleaning>optimization>generation>selection"))
    proposal = built(AgentSurrogateSearch(), num_strategies=2, chat=chat).propose(History())
    assert list(map(str, proposal.strategies)) == ["cleaning", "generation>cleaning"]


def test_single_teams_that_it_proposes_take_no_place_since_all_are_tried_first() -> None:
    chat = Replies(going_on("selection", "generation"))
    proposal = built(AgentSurrogateSearch(), chat=chat).propose(History())
    assert list(map(str, proposal.strategies)) == ["cleaning", "optimization", "generation"]
    assert not proposal.other_sources


def test_where_a_reply_cannot_be_used_the_surrogate_chooses() -> None:
    proposal = built(AgentSurrogateSearch(), chat=Replies("hm")).propose(History(feedback=TOLD))
    assert proposal.source == "fallback"
    assert list(map(str, proposal.strategies)) == proposed(built(SurrogateSearch()), TOLD)


STOP = '{"reasons": "enough", "decision": "best", "strategies": [], "best": "cleaning>optimization"}'


def test_a_stop_ends_the_search_where_the_scores_bear_it_out_and_a_strategy_of_its_own_is_among_the_best() -> None:
    table = TABLE | {"cleaning>optimization": 0.2}
    chat = Replies(going_on("cleaning>optimization"), STOP)
    rounds, last = walk(built(AgentSurrogateSearch(), chat=chat), table, noise_floor=0.005)
    assert [len(each) for each in rounds] == [3]
    assert (last.decision, last.best) == (PolicyDecision.BEST, Strategy.parse("cleaning>optimization"))


@pytest.mark.parametrize("trust_stop", [False, True])
def test_a_stop_before_that_is_noted_and_ends_the_search_only_where_stops_are_trusted(trust_stop: bool) -> None:
    chat = Replies('{"reasons": "enough", "decision": "best", "strategies": [], "best": "cleaning"}')
    spec = AgentSurrogateSearch(trust_stop=trust_stop)
    proposal = built(spec, chat=chat).propose(History(feedback=TOLD))
    assert (proposal.decision is PolicyDecision.BEST) == trust_stop
    if not trust_stop:
        assert list(map(str, proposal.strategies)) == proposed(built(SurrogateSearch()), TOLD)
        assert "wants to stop" in proposal.notes[-1]


@pytest.mark.parametrize("num_strategies", [1, 4])
def test_with_a_useless_agent_it_is_the_surrogate(num_strategies: int) -> None:
    alone, _ = walk(built(SurrogateSearch(), num_strategies=num_strategies), TABLE, noise_floor=0.005)
    asking = built(AgentSurrogateSearch(), num_strategies=num_strategies, chat=Replies("hm"))
    beside, _ = walk(asking, TABLE, noise_floor=0.005)
    assert beside == alone


class Ranking:
    """A chat model that knows the table, and proposes the best or the worst of what it may."""

    def __init__(self, table: Mapping[str, float], *, best_first: bool) -> None:
        self._table, self._best_first = table, best_first
        self.num_asked = 0

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        self.num_asked += 1
        is_open = json.loads(json_schema or "")["properties"]["strategies"]["items"]["enum"]
        return Completion(text=going_on(*sorted(is_open, key=self._table.__getitem__, reverse=self._best_first)[:4]))


NEEDLE = "generation>selection>optimization"
"""The best strategy of a table whose effects of teams speak against it."""
HIDDEN = TABLE | {NEEDLE: 0.2}


@pytest.mark.parametrize("num_strategies", [1, 4])
def test_an_agent_that_knows_what_the_effects_do_not_show_is_followed_at_once(num_strategies: int) -> None:
    alone, _ = walk(built(SurrogateSearch(), num_strategies=num_strategies), HIDDEN, noise_floor=0.005)
    knowing = Ranking(HIDDEN, best_first=True)
    policy = built(AgentSurrogateSearch(), num_strategies=num_strategies, chat=knowing)
    beside, _ = walk(policy, HIDDEN, at_most=20, noise_floor=0.005)
    assert NEEDLE in beside[0]
    assert evaluations_to_find(NEEDLE, alone) > 20


@pytest.mark.parametrize("num_strategies", [1, 2, 4])
def test_an_agent_that_knows_nothing_costs_one_training_and_is_not_asked_again(num_strategies: int) -> None:
    alone, _ = walk(built(SurrogateSearch(), num_strategies=num_strategies), TABLE, noise_floor=0.005)
    wrong = Ranking(TABLE, best_first=False)
    policy = built(AgentSurrogateSearch(), num_strategies=num_strategies, chat=wrong)
    beside, _ = walk(policy, TABLE, at_most=40, noise_floor=0.005)
    found = evaluations_to_find("cleaning>optimization", beside)
    assert wrong.num_asked == 1
    assert found <= evaluations_to_find("cleaning>optimization", alone) + 1
