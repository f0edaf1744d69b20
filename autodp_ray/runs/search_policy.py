"""The search policy that a config names, ready to propose: with the task as it may be told to a chat model."""

from __future__ import annotations

from autodp_ray.config.run_config import Config
from autodp_ray.search.agent.agent import ChatModel
from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.agent.team_words import team_words
from autodp_ray.search.policies.base import PolicyInputs
from autodp_ray.search.proposal import Policy
from operators.contract.resources import Language


def search_policy(config: Config, *, language: Language, chat: ChatModel | None) -> Policy:
    """What proposes the rounds of a search; `chat` is the agent's model, for a policy that asks it."""
    settings = config.search
    return settings.policy.build(PolicyInputs(task=agent_task(config, language), seed=settings.seed, chat=chat))


def agent_task(config: Config, language: Language) -> AgentTask:
    """What the agent of a search may know of it."""
    settings = config.search
    teams = {name: config.teams.team(name) for name in settings.teams}
    return AgentTask(
        domain=config.dataset.domain,
        language=language,
        evaluator=type(config.evaluation.evaluator),
        teams=settings.teams,
        team_words=tuple(team_words(team.recipe, language, description=team.description) for team in teams.values()),
        spellings={name: team.spellings for name, team in teams.items()},
        num_strategies=settings.num_strategies,
        max_rounds=settings.max_rounds,
    )
