"""The policy `neighbours`: climbs from the best strategy so far by inserting, removing or swapping a team."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.policies.base import PolicyInputs, PolicySpec, ending, untried
from autodp_ray.search.proposal import Feedback, History, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import NONE, Strategy

_NO_NEIGHBOUR = StopReason(name="no_neighbour_left", words="every neighbour of the best strategy was tried")
_ENDINGS = dict.fromkeys(PolicyDecision, _NO_NEIGHBOUR)


class NeighbourSearch(PolicySpec):
    """Starts with single teams, then edits the best strategy so far by one team, seeded by `search.seed`; asks no
    model."""

    sources: ClassVar[Mapping[str, str]] = {"neighbours": "a neighbour of the best strategy"}
    endings = _ENDINGS

    name: Literal["neighbours"] = "neighbours"

    def build(self, inputs: PolicyInputs) -> NeighbourPolicy:
        return NeighbourPolicy(inputs)


@dataclass(frozen=True, slots=True)
class NeighbourPolicy:
    """Local search over strategies; the unprocessed data counts as a strategy with the score 0."""

    endings: ClassVar = _ENDINGS

    inputs: PolicyInputs

    def propose(self, history: History) -> Proposal:
        feedback = history.feedback
        singles = self._untried_neighbours(feedback, of=NONE)
        first = self.inputs.drawn(singles, feedback)
        near = [one for one in self._untried_neighbours(feedback, of=_best(feedback)) if one not in singles]
        rest = self.inputs.drawn(near, feedback, at_most=self.inputs.task.num_strategies - len(first))
        chosen = first + rest
        return Proposal(strategies=chosen, source="neighbours") if chosen else ending(feedback, source="neighbours")

    def _untried_neighbours(self, feedback: Feedback, *, of: Strategy) -> tuple[Strategy, ...]:
        is_open = set(untried(feedback, self.inputs.task.teams))
        return tuple(one for one in of.neighbours(self.inputs.task.teams) if one in is_open)


def _best(feedback: Feedback) -> Strategy:
    best = feedback.best
    return best.strategy if best is not None and (best.score or 0.0) > 0 else NONE
