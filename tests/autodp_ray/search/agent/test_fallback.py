"""What steps in for the agent: an order of the untried strategies that ends when all were tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.search.agent.fallback import fallback_strategies
from autodp_ray.strategy import NONE, PAPER_TEAMS, Strategy, strategy_space

SPACE = strategy_space()


def test_the_fallback_starts_from_single_teams_and_climbs_from_the_best() -> None:
    assert [one.text for one in fallback_strategies({}, k=2)] == ["cleaning", "optimization"]
    climbing = fallback_strategies({Strategy.parse("cleaning"): 0.1, Strategy.parse("selection"): 0.3}, k=3)
    assert climbing[0] == Strategy.parse("selection>cleaning")


def test_the_fallback_takes_failed_strategies_as_tried_and_never_as_best() -> None:
    only_failed = fallback_strategies({Strategy.parse("cleaning"): None}, k=4)
    assert [one.text for one in only_failed] == [
        "optimization",
        "generation",
        "selection",
        "cleaning>optimization",
    ]


def test_after_the_neighbours_of_the_best_the_fallback_goes_on_to_those_of_the_next_best() -> None:
    best, second = Strategy.parse("cleaning"), Strategy.parse("selection")
    near = [one for one in best.neighbours() if one]
    scores = {best: 0.3, second: 0.2, **dict.fromkeys(near, 0.1)}
    found = fallback_strategies(scores, k=2)
    assert found == tuple(one for one in second.neighbours() if one and one not in scores)[:2]


@given(
    st.dictionaries(st.sampled_from(SPACE), st.none() | st.floats(-1, 1)),
    st.integers(0, 6),
    st.sets(st.sampled_from(PAPER_TEAMS), min_size=1),
)
def test_the_fallback_gives_k_untried_strategies_of_the_space_while_there_are_any(
    scored: dict[Strategy, float | None], k: int, teams: set[str]
) -> None:
    own = [team for team in PAPER_TEAMS if team in teams]
    found = fallback_strategies(scored, k=k, teams=own)
    still_open = set(strategy_space(own)) - set(scored) - {NONE}
    best = max((one for one in scored if scored[one] is not None), key=lambda one: scored[one] or 0, default=NONE)
    near = still_open & set(best.neighbours(own))
    assert set(found) <= still_open
    assert len(set(found)) == len(found) == min(k, len(still_open))
    assert len(near & set(found)) == min(k, len(near))


def test_round_by_round_the_fallback_tries_every_strategy_once() -> None:
    scored: dict[Strategy, float | None] = {}
    while found := fallback_strategies(scored, k=4):
        scored |= {one: 0.1 * len(one) if "selection" in one.teams else None for one in found}
    assert set(scored) == set(SPACE) - {NONE}
