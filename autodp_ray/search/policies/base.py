"""What every search policy is: a frozen spec in the config that builds the object which proposes rounds.

The spec's class says what the rest of a run must know of the policy, so that nothing else asks for its name.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from autodp_ray.search.agent.agent import ChatModel
from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.proposal import Feedback, Policy, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import Strategy, Team, strategy_space
from operators.contract.family import Member

ALL_TRIED = StopReason(name="all_tried", words="every strategy was tried")
NOTHING_NEW = StopReason(name="nothing_new", words="nothing new was proposed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInputs:
    """What a run lends to its search policy."""

    task: AgentTask
    """Teams, strategies of a round, rounds at most, and what a model may know of the dataset."""
    seed: int = 0
    chat: ChatModel | None = None
    """The model of the role `agent`, where the spec names that role."""

    @property
    def lent_chat(self) -> ChatModel:
        """The model of the role `agent`, for a policy whose spec names the role."""
        assert self.chat is not None, "the role `agent` is lent to what names it"
        return self.chat

    def drawn(
        self, strategies: Sequence[Strategy], feedback: Feedback, *, at_most: int | None = None
    ) -> tuple[Strategy, ...]:
        """A round of the strategies, or fewer, drawn uniformly; the same for the same seed and round."""
        generator = random.Random(f"{self.seed}:{feedback.next_round}")
        num = self.task.num_strategies if at_most is None else at_most
        return tuple(generator.sample(strategies, min(num, len(strategies))))


class PolicySpec(Member, ABC):
    """A search policy as the config names it."""

    obeys_stop_rules: ClassVar[bool] = True
    """Whether rounds, budget and the like may end its search."""
    may_choose_none: ClassVar[bool] = True
    """Whether no processing is chosen where nothing scores above it; else its one strategy is applied as it is."""
    phase: ClassVar[str] = "choosing strategies"
    """What a run says that it is doing while the policy proposes."""
    sources: ClassVar[Mapping[str, str]]
    """Who chose a round's strategies: each word that its proposals use, with what the report says."""
    endings: ClassVar[Mapping[PolicyDecision, StopReason]]
    """Why its search ends, by the decision of its last proposal."""

    @property
    def roles(self) -> frozenset[str]:
        """The chat models that it asks, as keys of the config's `models`."""
        return frozenset()

    def used_teams(self, teams: tuple[Team, ...]) -> tuple[Team, ...]:
        """Those of the config's teams that it may ask for."""
        return teams

    def candidates(self, teams: Sequence[Team]) -> tuple[Strategy, ...]:
        """Every strategy that it may propose."""
        return tuple(strategy for strategy in strategy_space(teams) if strategy)

    def most_strategies(self, teams: Sequence[Team], *, max_rounds: int, num_strategies: int) -> int:
        """The most strategies that its search scores in so many rounds, where a round is to hold `num_strategies`."""
        return max_rounds * num_strategies

    @abstractmethod
    def build(self, inputs: PolicyInputs) -> Policy:
        """The object that proposes rounds."""


def untried(feedback: Feedback, teams: Sequence[Team]) -> tuple[Strategy, ...]:
    """The strategies that were neither scored nor failed yet, in the order of the space."""
    tried = feedback.scores
    return tuple(strategy for strategy in strategy_space(teams) if strategy and strategy not in tried)


def ending(feedback: Feedback, *, source: str) -> Proposal:
    """The end of a search: with the best strategy where its score is above the noise floor, else with none."""
    best = feedback.proven_best
    decision = PolicyDecision.NONE_NEEDED if best is None else PolicyDecision.BEST
    return Proposal(decision=decision, best=best, source=source)
