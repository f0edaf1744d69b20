"""Tree search on tables with known optima: what it tries first, what it finds, how the agent's insight guides it."""

from __future__ import annotations

import pytest

from autodp_ray.search.policies.mcts import MctsSearch
from autodp_ray.strategy import PAPER_TEAMS, Strategy, strategy_space
from tests.autodp_ray.search.policies.walking import Replies, built, evaluations_to_find, going_on, landscape, walk

ALONE = MctsSearch(insight=False)


def deep(path: str) -> dict[str, float]:
    """Scores rise along the way to one strategy, and nowhere else."""
    nodes = [str(one) for one in Strategy.parse(path).prefixes()]
    return landscape(lambda teams: 0.1 * sum(str(one) in nodes for one in Strategy(teams).prefixes()))


def test_it_begins_with_the_roots_children() -> None:
    rounds, _ = walk(built(ALONE, num_strategies=4), {}, at_most=4)
    assert sorted(rounds[0]) == sorted(PAPER_TEAMS)


def test_no_node_is_scored_before_its_parent() -> None:
    rounds, _ = walk(built(ALONE, num_strategies=1), landscape(lambda teams: len(teams[0]) / 20))
    tried = [Strategy.parse(name) for each in rounds for name in each]
    assert len(tried) == 64
    assert all(not one.parent or one.parent in tried[:at] for at, one in enumerate(tried))


@pytest.mark.parametrize("optimum", ["selection>generation>cleaning", "generation>optimization>selection>cleaning"])
def test_it_climbs_to_a_deep_optimum_in_far_fewer_steps_than_there_are_strategies(optimum: str) -> None:
    rounds, last = walk(built(ALONE, num_strategies=1), deep(optimum))
    assert evaluations_to_find(optimum, rounds) <= 20
    assert last.best is not None


def test_without_exploration_it_follows_the_best_branch_and_with_much_it_walks_in_breadth() -> None:
    table = deep("selection>generation>cleaning")
    follows, _ = walk(built(MctsSearch(insight=False, exploration=0.0), num_strategies=1), table, at_most=9)
    wanders, _ = walk(built(MctsSearch(insight=False, exploration=50.0), num_strategies=1), table, at_most=16)
    assert {name.split(">")[0] for each in follows[4:] for name in each} == {"selection"}
    assert sum(len(name.split(">")) <= 2 for each in wanders for name in each) == 16


def test_a_branch_that_was_searched_to_its_end_is_left() -> None:
    table = {name: 1.0 if name.startswith("cleaning") else -1.0 for name in map(str, strategy_space())}
    rounds, _ = walk(built(MctsSearch(insight=False, exploration=0.0), num_strategies=1), table)
    assert len({name for each in rounds for name in each}) == 64


def test_a_round_of_several_is_spread_and_none_comes_twice() -> None:
    rounds, _ = walk(built(ALONE, num_strategies=6), deep("selection>generation"), at_most=30)
    assert all(len(set(each)) == len(each) == 6 for each in rounds)


def test_the_agents_first_round_is_scored_and_then_guides_the_tree() -> None:
    chat = Replies(going_on("generation>selection", "generation>cleaning"))
    policy = built(MctsSearch(exploration=0.1), num_strategies=2, chat=chat)
    rounds, _ = walk(policy, {}, at_most=3)
    assert rounds[0] == ["generation>selection", "generation>cleaning"]
    assert rounds[1][0] == "generation"
    assert len(chat.asked) == 1


def test_insight_brings_a_deep_optimum_sooner_and_a_wrong_one_does_not_hide_it() -> None:
    table = deep("selection>generation>cleaning")
    wanted = "selection>generation>cleaning>optimization"
    table[wanted] = 1.0
    found = {
        said: evaluations_to_find(
            wanted,
            walk(built(MctsSearch(), num_strategies=1, chat=Replies(going_on(said))), table)[0],
        )
        for said in ("selection>generation", "optimization>selection")
    }
    assert found["selection>generation"] < found["optimization>selection"] <= 40


def test_where_the_agent_is_not_understood_the_tree_goes_on_without_insight() -> None:
    rounds, last = walk(built(MctsSearch(), num_strategies=4, chat=Replies("hm")), deep("selection>cleaning"))
    assert len({name for each in rounds for name in each}) == 64
    assert last.source == "mcts"
