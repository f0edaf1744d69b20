"""The policy `agent_surrogate`: an estimate of the teams' effects chooses each round, but for one place of the agent's.

What the agent is worth is not known beforehand. Of its proposals the most promising one is scored beside the estimate's
own choices, and the agent keeps its place until a strategy there scores clearly below the best: an agent that knows is
followed, and one that does not costs a training in one round. It is shown the effects that the scores show. Where it
has lost its place, or its reply cannot be used, the round is that of the policy `surrogate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import ClassVar, Literal

from pydantic import Field

from autodp_ray.search.agent.agent import Agent, ProposalSource
from autodp_ray.search.effects import estimate_effects
from autodp_ray.search.policies.agent import AGENT_ENDINGS, AGENT_SOURCES, ASKS_AGENT
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.policies.surrogate import SURROGATE, SURROGATE_SOURCES, Surrogate
from autodp_ray.search.proposal import Effect, Feedback, History, PolicyDecision, Proposal
from autodp_ray.strategy import Strategy


class AgentSurrogateSearch(PolicySpec):
    """As `surrogate`, with a place of each round for the agent, which keeps it while its strategies are among the
    best."""

    phase = "asking the agent"
    sources: ClassVar[Mapping[str, str]] = {**AGENT_SOURCES, **SURROGATE_SOURCES}
    endings = AGENT_ENDINGS

    name: Literal["agent_surrogate"] = "agent_surrogate"
    optimism: float = Field(default=1.0, ge=0)
    """How many standard deviations are added to an expected score where strategies are ranked."""
    trust_stop: bool = False
    """Whether the search ends when the agent says so, even if no strategy of its own was scored or the intervals of the
    scores contradict it."""

    @property
    def roles(self) -> frozenset[str]:
        return ASKS_AGENT

    def build(self, inputs: PolicyInputs) -> AgentSurrogatePolicy:
        surrogate = Surrogate(inputs=inputs, acquisition="ucb", optimism=self.optimism)
        return AgentSurrogatePolicy(inputs=inputs, surrogate=surrogate, trust_stop=self.trust_stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSurrogatePolicy:
    """Asks the surrogate, and the agent while that has its place."""

    endings: ClassVar = AGENT_ENDINGS

    inputs: PolicyInputs
    surrogate: Surrogate
    trust_stop: bool

    def propose(self, history: History) -> Proposal:
        """The surrogate's strategies and the most promising one of the agent's.

        Raises: EndpointError where the agent's endpoint failed.
        """
        feedback = history.feedback
        chosen = self.choose(feedback, k=self.inputs.task.num_strategies)
        if not chosen or not _has_its_place(history):
            return Proposal(strategies=chosen, source=SURROGATE)
        said = self._ask(history)
        is_end = said.decision is not PolicyDecision.CONTINUE and (self.trust_stop or _places(history))
        if is_end or said.source == ProposalSource.FALLBACK:
            return said
        return self._shared(said, chosen, feedback)

    def effects(self, feedback: Feedback) -> tuple[Effect, ...]:
        """What is told beside the scores."""
        return estimate_effects(feedback, self.inputs.task.teams).effects(feedback.scored)

    def choose(self, feedback: Feedback, *, k: int, but: Sequence[Strategy] = ()) -> tuple[Strategy, ...]:
        """What the surrogate chooses by itself."""
        return self.surrogate.choose(feedback, k=k, but=but)

    def _ask(self, history: History) -> Proposal:
        agent = Agent(
            self.inputs.lent_chat,
            task=self.inputs.task,
            seed=self.inputs.seed,
            kept=tuple(chain.from_iterable(proposal.kept for proposal in history.proposals)),
            trust_stop=self.trust_stop,
            adviser=self,
            fill_first_round=False,
        )
        return agent.propose(history.feedback)

    def _shared(self, said: Proposal, chosen: Sequence[Strategy], feedback: Feedback) -> Proposal:
        """The round of the chosen strategies with the agent's in the last place: before any score its first one.

        Single teams need no place, since the surrogate tries all of them first.
        """
        proposed = tuple(one for one in said.strategies if len(one) > 1)
        best = self.surrogate.ranked(feedback, proposed, k=1) if feedback.scored else proposed[:1]
        others = [one for one in chosen if one not in best]
        strategies = (*others[: self.inputs.task.num_strategies - len(best)], *best)
        notes = [
            f"{one.text} promises less than the others; left out" for one in said.strategies if one not in strategies
        ]
        if said.decision is not PolicyDecision.CONTINUE:
            notes.append("the agent wants to stop before a strategy of its own was scored; ignored")
        return replace(
            said,
            strategies=strategies,
            decision=PolicyDecision.CONTINUE,
            best=None,
            source=SURROGATE,
            other_sources=dict.fromkeys(best, ProposalSource.AGENT),
            notes=(*said.notes, *notes),
        )


def _places(history: History) -> tuple[Strategy, ...]:
    """The strategies that had the agent's place so far."""
    return tuple(chain.from_iterable(proposal.other_sources for proposal in history.proposals))


def _has_its_place(history: History) -> bool:
    """Whether its latest strategy scored as high as the best so far, or lower by no more than may be chance.

    No processing scores 0.
    """
    own, feedback = _places(history), history.feedback
    if not own:
        return True
    scores = feedback.scores
    latest, best = scores[own[-1]], max([0.0, *(one for one in scores.values() if one is not None)])
    return latest is not None and latest >= best - (feedback.noise_floor or 0.0)
