"""The policy `random`: draws strategies that were not tried yet, all of them equally likely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.policies.base import PolicyInputs, PolicySpec, drawn, ending, untried
from autodp_ray.search.proposal import History, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import Team

_ALL_TRIED = StopReason(name="all_tried", words="every strategy was tried")
_ENDINGS = dict.fromkeys(PolicyDecision, _ALL_TRIED)


class RandomSearch(PolicySpec):
    """Draws untried strategies uniformly, seeded by `search.seed`; asks no model."""

    sources: ClassVar[Mapping[str, str]] = {"random": "drawn at random"}
    endings = _ENDINGS

    name: Literal["random"] = "random"

    def build(self, inputs: PolicyInputs) -> RandomPolicy:
        task = inputs.task
        return RandomPolicy(teams=task.teams, num_strategies=task.num_strategies, seed=inputs.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomPolicy:
    """Draws without putting back."""

    endings: ClassVar = _ENDINGS

    teams: tuple[Team, ...]
    num_strategies: int
    seed: int

    def propose(self, history: History) -> Proposal:
        feedback = history.feedback
        chosen = drawn(untried(feedback, self.teams), self.num_strategies, seed=self.seed, feedback=feedback)
        return Proposal(strategies=chosen, source="random") if chosen else ending(feedback, source="random")
