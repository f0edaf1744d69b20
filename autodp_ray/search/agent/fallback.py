"""What steps in where the agent's replies cannot be used, or propose too little: an order of the untried strategies.

Knows strategies and scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

from autodp_ray.search.proposal import Effect, Feedback
from autodp_ray.strategy import NONE, PAPER_TEAMS, Strategy, Team, strategy_space


class Adviser(Protocol):
    """Stands beside the agent: what can be told of the scores, and which strategies are worth trying next."""

    def effects(self, feedback: Feedback) -> tuple[Effect, ...]:
        """What the agent is told beside the scores."""

    def choose(self, feedback: Feedback, *, k: int, but: Sequence[Strategy] = ()) -> tuple[Strategy, ...]:
        """Up to k strategies that were not tried and are none of `but`."""


@dataclass(frozen=True, slots=True)
class NeighbourAdviser:
    """Tells nothing, and chooses neighbours of the best strategies."""

    teams: tuple[Team, ...]

    def effects(self, feedback: Feedback) -> tuple[Effect, ...]:
        return ()

    def choose(self, feedback: Feedback, *, k: int, but: Sequence[Strategy] = ()) -> tuple[Strategy, ...]:
        return fallback_strategies({**feedback.scores, **dict.fromkeys(but)}, k=k, teams=self.teams)


def fallback_strategies(
    scored: Mapping[Strategy, float | None], *, k: int, teams: Sequence[Team] = PAPER_TEAMS
) -> tuple[Strategy, ...]:
    """Up to k untried strategies: neighbours of the best one, then of the next best, and so on, then all others.

    The order is fixed. A strategy whose score is None failed: it counts as tried and is no best. Among equals the first
    one tried is best; where nothing has a score, `none` is.
    """
    measured = {strategy: score for strategy, score in scored.items() if score is not None}
    ranked = sorted(measured, key=lambda strategy: measured[strategy], reverse=True)
    near = (neighbour for one in (*ranked, NONE) for neighbour in one.neighbours(teams))
    space = strategy_space(teams)
    inside = set(space)
    wanted = (one for one in chain(near, space) if one and one in inside and one not in scored)
    return tuple(islice(dict.fromkeys(wanted), k))
