"""Every search policy of this package, as one union for the config, and their words for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field

from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.policies.agent_surrogate import AgentSurrogateSearch
from autodp_ray.search.policies.all import AllSearch
from autodp_ray.search.policies.base import PolicySpec
from autodp_ray.search.policies.exhaustive import ExhaustiveSearch
from autodp_ray.search.policies.given import GivenSearch
from autodp_ray.search.policies.greedy import GreedySearch
from autodp_ray.search.policies.mcts import MctsSearch
from autodp_ray.search.policies.neighbours import NeighbourSearch
from autodp_ray.search.policies.random import RandomSearch
from autodp_ray.search.policies.surrogate import SurrogateSearch
from autodp_ray.search.proposal import StopReason
from operators.contract.family import FROM_WORD, TO_WORD

Policies = (
    AgentSearch
    | GivenSearch
    | RandomSearch
    | NeighbourSearch
    | AllSearch
    | GreedySearch
    | MctsSearch
    | ExhaustiveSearch
    | SurrogateSearch
    | AgentSurrogateSearch
)
AnyPolicy = Annotated[Policies, Field(discriminator="name"), FROM_WORD, TO_WORD]
"""Any policy's spec, told apart by `name`; the word alone stands for its defaults."""
POLICIES: tuple[type[PolicySpec], ...] = get_args(Policies)


def policy_endings() -> tuple[StopReason, ...]:
    """Every reason for which a policy ends its search."""
    return tuple(dict.fromkeys(reason for policy in POLICIES for reason in policy.endings.values()))


def source_words() -> Mapping[str, str]:
    """What the report says of who chose a strategy."""
    return {source: words for policy in POLICIES for source, words in policy.sources.items()}
