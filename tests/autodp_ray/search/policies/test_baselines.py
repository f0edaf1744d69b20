"""The baselines without a search of their own: all teams, every strategy, one round of the agent."""

from __future__ import annotations

from autodp_ray.search.policies.all import AllSearch
from autodp_ray.search.policies.exhaustive import ExhaustiveSearch
from autodp_ray.search.policies.greedy import GreedySearch
from autodp_ray.search.proposal import PolicyDecision
from autodp_ray.strategy import PAPER_TEAMS, Strategy, strategy_space
from tests.autodp_ray.search.policies.walking import Replies, built, going_on, walk


def test_all_scores_the_papers_order_once() -> None:
    rounds, last = walk(built(AllSearch()), {"cleaning>optimization>generation>selection": 0.3})
    assert rounds == [["cleaning>optimization>generation>selection"]]
    assert (last.decision, last.best) == (PolicyDecision.BEST, Strategy(PAPER_TEAMS))
    assert walk(built(AllSearch()), {})[1].decision is PolicyDecision.NONE_NEEDED


def test_all_knows_how_little_it_scores() -> None:
    own = ("selection", "cleaning", "translation")
    assert AllSearch().candidates(own) == (Strategy(own),)
    assert AllSearch().most_strategies(own, max_rounds=5, num_strategies=4) == 1
    assert walk(built(AllSearch(), teams=own), {})[0] == [["selection>cleaning>translation"]]


def test_exhaustive_scores_everything_the_shortest_first() -> None:
    rounds, last = walk(built(ExhaustiveSearch(), num_strategies=6), {"generation>cleaning": 0.4})
    assert [name for each in rounds for name in each] == [str(one) for one in strategy_space() if one]
    assert last.best == Strategy.parse("generation>cleaning")


def test_greedy_asks_once_and_keeps_the_best_of_that_round() -> None:
    chat = Replies(going_on("cleaning", "selection", "generation>cleaning"))
    rounds, last = walk(built(GreedySearch(), chat=chat), {"selection": 0.3, "generation": 0.9})
    assert rounds == [["cleaning", "selection", "generation>cleaning"]]
    assert (last.decision, last.best) == (PolicyDecision.BEST, Strategy.parse("selection"))
    assert len(chat.asked) == 1


def test_greedy_tries_neighbours_of_nothing_where_the_agent_cannot_be_understood() -> None:
    rounds, last = walk(built(GreedySearch(), chat=Replies("well, well")), {})
    assert rounds == [["cleaning", "optimization", "generation"]]
    assert last.decision is PolicyDecision.NONE_NEEDED
