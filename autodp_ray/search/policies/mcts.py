"""The policy `mcts`: Monte-Carlo tree search over the trie of strategies; one simulation is one scored strategy.

A node is a strategy and its children append a team to it. A score counts for the node and for all its prefixes. From
the root the search goes down to the child with the highest upper confidence bound until it meets a strategy that was
not tried, and scores it. The agent, where it is asked, proposes the first round, and the nodes on the way to its
proposals are promising until their own scores say otherwise.

Sources: SELA, arXiv 2410.17238 (a tree of pipeline steps, insights of a model, UCT with a depth preference); Kocsis and
Szepesvári 2006 (UCT).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import Field

from autodp_ray.search.agent.agent import Agent, ProposalSource
from autodp_ray.search.policies.agent import AGENT_SOURCES, ASKS_AGENT
from autodp_ray.search.policies.base import ALL_TRIED, PolicyInputs, PolicySpec, ending, untried
from autodp_ray.search.proposal import Feedback, History, PolicyDecision, Proposal
from autodp_ray.strategy import NONE, Strategy

_ENDINGS = dict.fromkeys(PolicyDecision, ALL_TRIED)
_PRIOR_VISITS = 0.8
"""Visits that a node starts with, at its prior value: below one, so that a node that was never tried is tried soon."""
_UNKNOWN, _PROMISING = 0.5, 1.0
"""Prior values, where 0 is the worst score so far and 1 the best."""


class MctsSearch(PolicySpec):
    """Monte-Carlo tree search over strategies, the paper's baseline SELA. Source: paper, 4.1.2; arXiv 2410.17238."""

    phase = "searching the tree"
    sources: ClassVar[Mapping[str, str]] = {**AGENT_SOURCES, "mcts": "chosen by tree search"}
    endings = _ENDINGS

    name: Literal["mcts"] = "mcts"
    insight: bool = True
    """Whether the chat model `models.agent` proposes the first round, which then guides the search; else no model is
    asked."""
    exploration: float = Field(default=0.5, ge=0)
    """The weight of exploring strategies with few trials against those that scored well; scores are taken to lie in [0,
    1]."""

    @property
    def roles(self) -> frozenset[str]:
        return ASKS_AGENT if self.insight else frozenset()

    def build(self, inputs: PolicyInputs) -> MctsPolicy:
        return MctsPolicy(inputs=inputs, insight=self.insight, exploration=self.exploration)


@dataclass(frozen=True, slots=True, kw_only=True)
class MctsPolicy:
    """Grows the tree anew from the scores in each round, so that nothing is kept between rounds."""

    endings: ClassVar = _ENDINGS

    inputs: PolicyInputs
    insight: bool
    exploration: float

    def propose(self, history: History) -> Proposal:
        """The agent's insight in the first round, then the tree's choices.

        Raises: EndpointError where the agent's endpoint failed.
        """
        task, feedback = self.inputs.task, history.feedback
        if self.insight and not feedback.rounds:
            return Agent(self.inputs.lent_chat, task=task, seed=self.inputs.seed).propose(feedback)
        tree = _Tree.of(feedback, insight=_insight(history), exploration=self.exploration)
        chosen = tree.choose(untried(feedback, task.teams), k=task.num_strategies)
        return Proposal(strategies=chosen, source="mcts") if chosen else ending(feedback, source="mcts")


def _insight(history: History) -> frozenset[Strategy]:
    """The nodes on the way to what the agent proposed in the first round."""
    first = history.proposals[0] if history.proposals else None
    if first is None or first.source != ProposalSource.AGENT:
        return frozenset()
    return frozenset(prefix for strategy in first.strategies for prefix in strategy.prefixes())


@dataclass(slots=True, kw_only=True)
class _Tree:
    """Visits of every node, and the sum of their values."""

    insight: frozenset[Strategy]
    exploration: float
    visits: dict[Strategy, int] = field(default_factory=dict)
    totals: dict[Strategy, float] = field(default_factory=dict)

    @classmethod
    def of(cls, feedback: Feedback, *, insight: frozenset[Strategy], exploration: float) -> _Tree:
        """The tree that the scores make; a strategy that failed counts as the worst."""
        tree = cls(insight=insight, exploration=exploration)
        known = [score for score in feedback.scores.values() if score is not None]
        low, high = min([0.0, *known]), max([0.0, *known])
        for strategy, score in feedback.scores.items():
            value = 0.0 if score is None else (score - low) / (high - low) if high > low else _UNKNOWN
            tree.visit(strategy, value)
        return tree

    def visit(self, strategy: Strategy, value: float) -> None:
        """Count a value for the node and for all its prefixes."""
        for node in (NONE, *strategy.prefixes()):
            self.visits[node] = self.visits.get(node, 0) + 1
            self.totals[node] = self.totals.get(node, 0.0) + value

    def choose(self, still_open: Sequence[Strategy], *, k: int) -> tuple[Strategy, ...]:
        """Up to k strategies, each as if those before it had scored what their nodes promise."""
        left, chosen = dict.fromkeys(still_open), list[Strategy]()
        while left and len(chosen) < k:
            leaf = self._descend(left)
            self.visit(leaf, self._value(leaf))
            chosen.append(leaf)
            del left[leaf]
        return tuple(chosen)

    def _descend(self, left: Mapping[Strategy, None]) -> Strategy:
        """The first untried node on the way down the highest bounds."""
        nodes = dict.fromkeys(prefix for strategy in left for prefix in strategy.prefixes())
        node = NONE
        while node not in left:
            children = [child for child in nodes if child.parent == node]
            node = max(children, key=self._bound)
        return node

    def _value(self, node: Strategy) -> float:
        """What the node promises: the mean of its scores, and of the prior."""
        prior = _PROMISING if node in self.insight else _UNKNOWN
        return (self.totals.get(node, 0.0) + _PRIOR_VISITS * prior) / self._weight(node)

    def _bound(self, node: Strategy) -> float:
        parent_visits = 1 + self.visits.get(node.parent, 0)
        return self._value(node) + self.exploration * math.sqrt(math.log(parent_visits) / self._weight(node))

    def _weight(self, node: Strategy) -> float:
        return self.visits.get(node, 0) + _PRIOR_VISITS
