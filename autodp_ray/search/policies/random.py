"""The policy `random`: draws strategies that were not tried yet, all of them equally likely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.policies.base import ALL_TRIED, PolicyInputs, PolicySpec, ending, untried
from autodp_ray.search.proposal import History, PolicyDecision, Proposal

_ENDINGS = dict.fromkeys(PolicyDecision, ALL_TRIED)


class RandomSearch(PolicySpec):
    """Draws untried strategies uniformly, seeded by `search.seed`; asks no model."""

    sources: ClassVar[Mapping[str, str]] = {"random": "drawn at random"}
    endings = _ENDINGS

    name: Literal["random"] = "random"

    def build(self, inputs: PolicyInputs) -> RandomPolicy:
        return RandomPolicy(inputs)


@dataclass(frozen=True, slots=True)
class RandomPolicy:
    """Draws without putting back."""

    endings: ClassVar = _ENDINGS

    inputs: PolicyInputs

    def propose(self, history: History) -> Proposal:
        feedback = history.feedback
        chosen = self.inputs.drawn(untried(feedback, self.inputs.task.teams), feedback)
        return Proposal(strategies=chosen, source="random") if chosen else ending(feedback, source="random")
