"""Which parts of a config a command uses: the operators of its teams, and the chat models that they and it ask."""

from __future__ import annotations

from collections.abc import Sequence

from actors.llm.spec import LLMSpec
from autodp_ray.config.run_config import Config
from autodp_ray.strategy import Team
from operators.contract.operator import Operator


def needed_operators(config: Config, teams: Sequence[Team]) -> tuple[Operator, ...]:
    """The operators of these teams."""
    return tuple(operator for team in teams for operator in config.teams.recipe(team))


def needed_roles(
    config: Config, teams: Sequence[Team], *, needs_agent: bool = True, needs_judge: bool = True
) -> dict[str, LLMSpec]:
    """The chat models that the command will ask, by role."""
    roles = {"agent": config.models.agent} if needs_agent else {}
    if any(operator.needs.completer for operator in needed_operators(config, teams)):
        roles["operators"] = config.models.operators
    if needs_judge and config.evaluation.evaluator == "judge":
        roles["judge"] = config.models.asked_to_judge
    return roles
