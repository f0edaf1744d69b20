"""The policy `exhaustive`: every strategy, the shortest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.policies.base import ALL_TRIED, PolicyInputs, PolicySpec, ending, untried
from autodp_ray.search.proposal import History, PolicyDecision, Proposal

_ENDINGS = dict.fromkeys(PolicyDecision, ALL_TRIED)


class ExhaustiveSearch(PolicySpec):
    """Scores every strategy, the shortest first, as far as `max_rounds` and the budget reach; asks no model."""

    sources: ClassVar[Mapping[str, str]] = {"exhaustive": "next in the order of all strategies"}
    endings = _ENDINGS

    name: Literal["exhaustive"] = "exhaustive"

    def build(self, inputs: PolicyInputs) -> ExhaustivePolicy:
        return ExhaustivePolicy(inputs)


@dataclass(frozen=True, slots=True)
class ExhaustivePolicy:
    """Walks through the space."""

    endings: ClassVar = _ENDINGS

    inputs: PolicyInputs

    def propose(self, history: History) -> Proposal:
        task, feedback = self.inputs.task, history.feedback
        chosen = untried(feedback, task.teams)[: task.num_strategies]
        return Proposal(strategies=chosen, source="exhaustive") if chosen else ending(feedback, source="exhaustive")
