"""The strategy space, its text form, its neighbourhood and the trie of a round."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.strategy import (
    NONE,
    Strategy,
    parse_rounds,
    parse_strategies,
    round_trie,
    strategy_space,
)
from operators.contract.errors import InputError

SPACE = strategy_space()
any_strategy = st.sampled_from(SPACE)
FIGURE_5 = (
    "cleaning,cleaning>generation,cleaning>optimization,cleaning>selection,"
    "cleaning>optimization>selection,cleaning>generation>optimization,cleaning>optimization"
)


def test_the_space_of_four_teams_has_64_strategies_and_the_empty_one() -> None:
    assert len(SPACE) == len(set(SPACE)) == 65
    assert SPACE[0] == NONE
    assert [sum(len(strategy) == size for strategy in SPACE) for size in range(5)] == [1, 4, 12, 24, 24]


def test_switching_a_team_off_shrinks_the_space() -> None:
    without_selection = strategy_space(["cleaning", "optimization", "generation"])
    assert len(without_selection) == 16
    assert set(without_selection) < set(SPACE)
    assert strategy_space([]) == (NONE,)


@given(any_strategy)
def test_the_text_form_round_trips(strategy: Strategy) -> None:
    assert Strategy.parse(strategy.text) == strategy == Strategy.from_text(strategy.text)
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    assert hash(Strategy.parse(str(strategy))) == hash(strategy)


def test_spaces_and_capitals_in_the_text_form_do_not_matter() -> None:
    assert Strategy.parse(" Cleaning > OPTIMIZATION ").text == "cleaning>optimization"
    assert Strategy.parse("None") == NONE
    assert NONE.text == "none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("claening", "did you mean 'cleaning'"),
        ("cleaning>optimisation", "did you mean 'optimization'"),
        ("cleaning>cleaning", "uses 'cleaning' twice"),
        ("cleaning>", "unknown team ''"),
        ("", "unknown team ''"),
        ("cleaning>none", "unknown team 'none'"),
        ("zzzz", "out of cleaning, optimization, generation, selection"),
    ],
)
def test_a_wrong_text_form_is_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Strategy.parse(text)
    assert said in str(caught.value)


def test_a_team_that_is_switched_off_is_refused_as_such() -> None:
    with pytest.raises(InputError, match="'selection' is switched off; allowed are cleaning"):
        Strategy.parse("selection", teams=["cleaning"])


def test_a_strategy_cannot_hold_a_team_twice_or_a_name_that_is_no_team() -> None:
    with pytest.raises(ValueError, match="at most once"):
        Strategy(("cleaning", "cleaning"))
    with pytest.raises(ValueError, match="cannot name a team"):
        Strategy(("Data Cleaning",))


def test_prefixes_grow_by_one_team() -> None:
    prefixes = Strategy.parse("cleaning>generation>selection").prefixes()
    assert [prefix.text for prefix in prefixes] == ["cleaning", "cleaning>generation", "cleaning>generation>selection"]
    assert NONE.prefixes() == ()


def test_neighbours_are_one_append_delete_insert_or_swap_away() -> None:
    assert [near.text for near in NONE.neighbours()] == ["cleaning", "optimization", "generation", "selection"]
    near = [near.text for near in Strategy.parse("cleaning>selection").neighbours()]
    assert near == [
        "cleaning>selection>optimization",
        "cleaning>selection>generation",
        "cleaning",
        "selection",
        "optimization>cleaning>selection",
        "generation>cleaning>selection",
        "cleaning>optimization>selection",
        "cleaning>generation>selection",
        "selection>cleaning",
    ]


@given(any_strategy, any_strategy)
def test_being_neighbours_is_mutual_and_never_with_oneself(one: Strategy, other: Strategy) -> None:
    assert (one in other.neighbours()) == (other in one.neighbours())
    assert one not in one.neighbours()
    assert set(one.neighbours()) <= set(SPACE)


@given(any_strategy)
def test_neighbours_stay_among_the_allowed_teams(strategy: Strategy) -> None:
    allowed = ["cleaning", "selection"]
    added = {team for near in strategy.neighbours(allowed) for team in near.teams} - set(strategy.teams)
    assert added <= set(allowed)


def test_the_paper_example_asks_for_15_team_runs_and_needs_6() -> None:
    trie = round_trie(parse_strategies(FIGURE_5))
    assert (trie.team_runs_requested, trie.team_runs_executed) == (15, 6)


def test_the_whole_space_asks_for_196_team_runs_and_needs_64() -> None:
    trie = round_trie(SPACE)
    assert (trie.team_runs_requested, trie.team_runs_executed) == (196, 64)


@given(st.lists(any_strategy, max_size=12))
def test_a_trie_holds_each_prefix_once_and_after_its_parent(strategies: list[Strategy]) -> None:
    trie = round_trie(strategies)
    assert set(trie.nodes) == {prefix for strategy in strategies for prefix in strategy.prefixes()}
    assert trie.team_runs_executed == len(set(trie.nodes)) <= trie.team_runs_requested
    for at, node in enumerate(trie.nodes):
        assert node.parent == NONE or node.parent in trie.nodes[:at]
        assert node in trie.children(node.parent)


def test_an_empty_list_of_strategies_is_refused() -> None:
    with pytest.raises(InputError, match="no strategy given"):
        parse_strategies(" , ")
    assert parse_strategies("none, cleaning") == (NONE, Strategy(("cleaning",)))


def test_rounds_are_lists_of_strategies_and_none_of_them_is_empty() -> None:
    assert parse_rounds("none; cleaning,none") == ((NONE,), (Strategy(("cleaning",)), NONE))
    with pytest.raises(InputError, match="no strategy given"):
        parse_rounds("cleaning;")
