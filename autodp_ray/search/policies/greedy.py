"""The policy `greedy`: one round of the agent, of which the best is kept; what the later rounds are measured against.

Source: LLM-AutoDP, section 4.4 (LLM+greedy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.agent.agent import Agent
from autodp_ray.search.agent.reply import MAX_STRATEGIES
from autodp_ray.search.policies.agent import AGENT_SOURCES, ASKS_AGENT
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec, ending
from autodp_ray.search.proposal import History, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import Team

_ENDINGS = dict.fromkeys(PolicyDecision, StopReason(name="greedy_scored", words="the one round was scored"))


class GreedySearch(PolicySpec):
    """The chat model `models.agent` proposes one round and reads no score; the paper's baseline LLM+greedy. Source:
    paper, Table 6."""

    phase = "asking the agent"
    sources = AGENT_SOURCES
    endings = _ENDINGS

    name: Literal["greedy"] = "greedy"

    @property
    def roles(self) -> frozenset[str]:
        return ASKS_AGENT

    def most_strategies(self, teams: Sequence[Team], *, max_rounds: int, num_strategies: int) -> int:
        return MAX_STRATEGIES

    def build(self, inputs: PolicyInputs) -> GreedyPolicy:
        return GreedyPolicy(inputs)


@dataclass(frozen=True, slots=True)
class GreedyPolicy:
    """Asks once."""

    endings: ClassVar = _ENDINGS

    inputs: PolicyInputs

    def propose(self, history: History) -> Proposal:
        """The agent's first round, then the end.

        Raises: EndpointError where the agent's endpoint failed.
        """
        if history.feedback.rounds:
            return ending(history.feedback, source="agent")
        return Agent(self.inputs.lent_chat, task=self.inputs.task, seed=self.inputs.seed).propose(history.feedback)
