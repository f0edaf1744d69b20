"""Which parts of a config a command uses: the operators of its teams, and the chat models that they and it ask."""

from __future__ import annotations

from collections.abc import Sequence

from actors.llm.engines.base import LLMSpec
from autodp_ray.config.run_config import Config
from autodp_ray.strategy import Team
from operators.contract.operator import Operator


def needed_operators(config: Config, teams: Sequence[Team]) -> tuple[Operator, ...]:
    """The operators of these teams."""
    return tuple(operator for team in teams for operator in config.teams.recipe(team))


def needed_roles(config: Config, teams: Sequence[Team], *, searches: bool = True) -> dict[str, LLMSpec]:
    """The chat models that a command will ask, by role; none for the search where it only applies a strategy."""
    roles: dict[str, LLMSpec] = {}
    if searches and "agent" in config.search.policy.roles:
        roles["agent"] = config.models.agent
    if any(operator.needs.completer for operator in needed_operators(config, teams)):
        roles["operators"] = config.models.operators
    if searches:
        roles |= {role: config.models.reader(role) for role in config.evaluation.evaluator.roles}
    return roles
