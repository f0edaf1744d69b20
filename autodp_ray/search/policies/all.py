"""The policy `all`: one strategy, every team in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.policies.base import PolicyInputs, PolicySpec, ending
from autodp_ray.search.proposal import History, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import Strategy, Team

_ENDINGS = dict.fromkeys(PolicyDecision, StopReason(name="all_scored", words="the strategy of all teams was scored"))


class AllSearch(PolicySpec):
    """Scores one strategy, all teams in the order of `search.teams`; the paper's baseline All-process. Source: paper,
    4.1.2."""

    may_choose_none = False
    sources: ClassVar[Mapping[str, str]] = {"all": "all teams in their order"}
    endings = _ENDINGS

    name: Literal["all"] = "all"

    def candidates(self, teams: Sequence[Team]) -> tuple[Strategy, ...]:
        return (Strategy(tuple(teams)),)

    def most_strategies(self, teams: Sequence[Team], *, max_rounds: int, num_strategies: int) -> int:
        return 1

    def build(self, inputs: PolicyInputs) -> AllPolicy:
        return AllPolicy(inputs)


@dataclass(frozen=True, slots=True)
class AllPolicy:
    """Proposes once."""

    endings: ClassVar = _ENDINGS

    inputs: PolicyInputs

    def propose(self, history: History) -> Proposal:
        if history.feedback.rounds:
            return ending(history.feedback, source="all")
        return Proposal(strategies=(Strategy(self.inputs.task.teams),), source="all")
