"""Policies walked through tables of scores, as tests of each of them do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from autodp_ray.search.agent.agent import ChatModel
from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.proposal import Feedback, History, Policy, PromptMessage, Proposal
from autodp_ray.strategy import PAPER_TEAMS, strategy_space
from operators.contract.resources import Completion
from tests.autodp_ray.search.scores import feedback


class Replies:
    """A chat model that says its lines in order, the last one for ever, and remembers what it was asked."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)
        self.asked: list[str] = []

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        self.asked.append("\n".join(content for _, content in messages))
        return Completion(text=self._lines.pop(0) if len(self._lines) > 1 else self._lines[0])


def going_on(*strategies: str) -> str:
    """A reply that proposes them."""
    return json.dumps({"reasons": "because", "decision": "continue", "strategies": strategies, "best": None})


def built(
    spec: PolicySpec,
    *,
    num_strategies: int = 3,
    seed: int = 0,
    teams: tuple[str, ...] = PAPER_TEAMS,
    chat: ChatModel | None = None,
) -> Policy:
    return spec.build(PolicyInputs(task=AgentTask(teams=teams, num_strategies=num_strategies), seed=seed, chat=chat))


def proposed(policy: Policy, told: Feedback) -> list[str]:
    return [str(strategy) for strategy in policy.propose(History(feedback=told)).strategies]


def walk(
    policy: Policy, scores: Mapping[str, float], *, at_most: int = 1000, noise_floor: float = 0.1
) -> tuple[list[list[str]], Proposal]:
    """Every round that a policy proposes until it stops or has tried enough, and its last proposal."""
    rounds: list[dict[str, float]] = []
    proposals: list[Proposal] = []
    while True:
        told = feedback(*rounds, noise_floor=noise_floor)
        proposal = policy.propose(History(feedback=told, proposals=tuple(proposals)))
        if not proposal.strategies or sum(map(len, rounds)) >= at_most:
            return [list(each) for each in rounds], proposal
        rounds.append({str(one): scores.get(str(one), 0.0) for one in proposal.strategies})
        proposals.append(proposal)


def landscape(score: Callable[[tuple[str, ...]], float], teams: tuple[str, ...] = PAPER_TEAMS) -> dict[str, float]:
    """A table of every strategy's score."""
    return {str(one): score(one.teams) for one in strategy_space(teams) if one}


def evaluations_to_find(optimum: str, rounds: Sequence[Sequence[str]]) -> int:
    """How many strategies were scored until the optimum was, it included."""
    return [name for each in rounds for name in each].index(optimum) + 1
