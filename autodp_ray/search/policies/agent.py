"""The policy `agent`: a chat model proposes, hears the scores, and says when it is done.

Source: LLM-AutoDP, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal

from autodp_ray.search.agent.agent import Agent, ChatModel, ProposalSource
from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.agent.reply import MAX_STRATEGIES
from autodp_ray.search.policies.base import NOTHING_NEW, PolicyInputs, PolicySpec
from autodp_ray.search.proposal import History, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import Team

AGENT_SOURCES = {
    ProposalSource.AGENT.value: "proposed by the agent",
    ProposalSource.FALLBACK.value: "fallback: the agent's reply could not be used",
}
ASKS_AGENT = frozenset({"agent"})
AGENT_ENDINGS = {
    PolicyDecision.BEST: StopReason(name="agent_best", words="the agent named the best strategy"),
    PolicyDecision.NONE_NEEDED: StopReason(
        name="agent_none_needed", words="the agent said that no processing is needed"
    ),
    PolicyDecision.CONTINUE: NOTHING_NEW,
}


class AgentSearch(PolicySpec):
    """The chat model `models.agent` proposes strategies and reads their scores. Source: paper, section 3.2."""

    phase = "asking the agent"
    sources = AGENT_SOURCES
    endings = AGENT_ENDINGS

    name: Literal["agent"] = "agent"
    trust_stop: bool = False
    """Whether the search ends when the agent says so, as in the paper, even if the intervals of the scores
    contradict it. Otherwise the agent is asked again, and if it insists the search goes on from the best strategies."""

    @property
    def roles(self) -> frozenset[str]:
        return ASKS_AGENT

    def most_strategies(self, teams: Sequence[Team], *, max_rounds: int, num_strategies: int) -> int:
        return max_rounds * MAX_STRATEGIES  # a round is as large as the agent likes

    def build(self, inputs: PolicyInputs) -> AgentPolicy:
        return AgentPolicy(chat=inputs.lent_chat, task=inputs.task, seed=inputs.seed, trust_stop=self.trust_stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPolicy:
    """Asks the model, which is shown what was kept of the rounds before."""

    endings: ClassVar = AGENT_ENDINGS

    chat: ChatModel
    task: AgentTask
    seed: int
    trust_stop: bool = False

    def propose(self, history: History) -> Proposal:
        """What the agent proposes, or its fallback.

        Raises: EndpointError where the agent's endpoint failed.
        """
        kept = tuple(chain.from_iterable(proposal.kept for proposal in history.proposals))
        agent = Agent(self.chat, task=self.task, seed=self.seed, kept=kept, trust_stop=self.trust_stop)
        return agent.propose(history.feedback)
