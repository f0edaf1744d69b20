"""The policy `neighbours`: climbs from the best strategy so far by inserting, removing or swapping a team."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.policies.base import PolicyInputs, PolicySpec, drawn, ending, untried
from autodp_ray.search.proposal import Feedback, History, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import NONE, Strategy, Team

_NO_NEIGHBOUR = StopReason(name="no_neighbour_left", words="every neighbour of the best strategy was tried")
_ENDINGS = dict.fromkeys(PolicyDecision, _NO_NEIGHBOUR)


class NeighbourSearch(PolicySpec):
    """Starts with single teams, then edits the best strategy so far by one team, seeded by `search.seed`; asks no
    model."""

    sources: ClassVar[Mapping[str, str]] = {"neighbours": "a neighbour of the best strategy"}
    endings = _ENDINGS

    name: Literal["neighbours"] = "neighbours"

    def build(self, inputs: PolicyInputs) -> NeighbourPolicy:
        task = inputs.task
        return NeighbourPolicy(teams=task.teams, num_strategies=task.num_strategies, seed=inputs.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourPolicy:
    """Local search over strategies; the unprocessed data counts as a strategy with the score 0."""

    endings: ClassVar = _ENDINGS

    teams: tuple[Team, ...]
    num_strategies: int
    seed: int

    def propose(self, history: History) -> Proposal:
        feedback = history.feedback
        singles = self._untried_neighbours(feedback, of=NONE)
        first = drawn(singles, self.num_strategies, seed=self.seed, feedback=feedback)
        near = [one for one in self._untried_neighbours(feedback, of=_best(feedback)) if one not in singles]
        rest = drawn(near, self.num_strategies - len(first), seed=self.seed, feedback=feedback)
        chosen = first + rest
        return Proposal(strategies=chosen, source="neighbours") if chosen else ending(feedback, source="neighbours")

    def _untried_neighbours(self, feedback: Feedback, *, of: Strategy) -> tuple[Strategy, ...]:
        is_open = set(untried(feedback, self.teams))
        return tuple(one for one in of.neighbours(self.teams) if one in is_open)


def _best(feedback: Feedback) -> Strategy:
    best = feedback.best
    return best.strategy if best is not None and (best.score or 0.0) > 0 else NONE
