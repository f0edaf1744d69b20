"""The policy `agent_surrogate`: the agent proposes, an estimate of the teams' effects advises, ranks and steps in.

The agent is shown the effects that its own scores show; the best of its proposals are scored; where its reply cannot be
used the estimate chooses, as in the policy `surrogate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar, Literal

from pydantic import Field

from autodp_ray.search.agent.agent import Agent, ProposalSource
from autodp_ray.search.agent.reply import MAX_STRATEGIES
from autodp_ray.search.effects import estimate_effects
from autodp_ray.search.policies.agent import AGENT_ENDINGS, AGENT_SOURCES, ASKS_AGENT
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.policies.surrogate import Surrogate
from autodp_ray.search.proposal import Effect, Feedback, History, Proposal
from autodp_ray.strategy import Strategy, Team


class AgentSurrogateSearch(PolicySpec):
    """The agent reads the effects of teams that its scores show; the most promising of its proposals are scored."""

    phase = "asking the agent"
    sources: ClassVar[Mapping[str, str]] = AGENT_SOURCES
    endings = AGENT_ENDINGS

    name: Literal["agent_surrogate"] = "agent_surrogate"
    optimism: float = Field(default=1.0, ge=0)
    """Standard deviations that are added to an expected score where strategies are ranked."""
    trust_stop: bool = False
    """Whether the search ends when the agent says so, even if the intervals of the scores contradict it."""

    @property
    def roles(self) -> frozenset[str]:
        return ASKS_AGENT

    def most_strategies(self, teams: Sequence[Team], *, max_rounds: int, num_strategies: int) -> int:
        return MAX_STRATEGIES + (max_rounds - 1) * num_strategies  # before any score nothing tells which to leave out

    def build(self, inputs: PolicyInputs) -> AgentSurrogatePolicy:
        surrogate = Surrogate(inputs=inputs, acquisition="ucb", optimism=self.optimism)
        return AgentSurrogatePolicy(inputs=inputs, surrogate=surrogate, trust_stop=self.trust_stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSurrogatePolicy:
    """Asks the agent, and lets the surrogate order what it says."""

    endings: ClassVar = AGENT_ENDINGS

    inputs: PolicyInputs
    surrogate: Surrogate
    trust_stop: bool

    def propose(self, history: History) -> Proposal:
        """The most promising of the agent's strategies, or the surrogate's.

        Raises: EndpointError where the agent's endpoint failed.
        """
        inputs, feedback = self.inputs, history.feedback
        agent = Agent(
            inputs.lent_chat,
            task=inputs.task,
            seed=inputs.seed,
            kept=tuple(chain.from_iterable(proposal.kept for proposal in history.proposals)),
            trust_stop=self.trust_stop,
            adviser=self,
        )
        proposal = agent.propose(feedback)
        return self._cut(proposal, feedback) if proposal.source == ProposalSource.AGENT else proposal

    def effects(self, feedback: Feedback) -> tuple[Effect, ...]:
        """What is told beside the scores."""
        return estimate_effects(feedback, self.inputs.task.teams).effects(feedback.scored)

    def choose(self, feedback: Feedback, *, k: int, but: Sequence[Strategy] = ()) -> tuple[Strategy, ...]:
        """What steps in."""
        return self.surrogate.choose(feedback, k=k, but=but)

    def _cut(self, proposal: Proposal, feedback: Feedback) -> Proposal:
        """The proposal's most promising strategies, as many as a round holds; before any score nothing is known."""
        if not feedback.scored:
            return proposal
        ranked = self.surrogate.ranked(feedback, proposal.strategies, k=self.inputs.task.num_strategies)
        left_out = (one for one in proposal.strategies if one not in ranked)
        notes = tuple(f"{one.text} promises less than the others; left out" for one in left_out)
        return replace(proposal, strategies=ranked, notes=(*proposal.notes, *notes))
