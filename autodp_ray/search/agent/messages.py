"""Builds what the agent is told, out of team names, numbers and config text; nothing else can get in.

The parameters of every function here are frozen types whose fields are checked when they are made. There is no field
that could hold a row, a path or an error text.

Source: LLM-AutoDP, section 3.2 and Eq. 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import get_args

import jinja2

from autodp_ray.evaluators.base import Evaluator
from autodp_ray.evaluators.loss import LossEvaluator
from autodp_ray.search.agent.reply import MAX_STRATEGIES, ReplyError
from autodp_ray.search.agent.team_words import MAX_TEAM_WORDS
from autodp_ray.search.proposal import Effect, Feedback, PolicyDecision, PromptMessage
from autodp_ray.strategy import PAPER_TEAMS, Strategy, Team, strategy_space
from operators.contract.resources import Language
from operators.llm.templates import prompt_environment

_MAX_DOMAIN = 60
_NUM_EXAMPLES = 6
_MAX_REASONS = 300
_PROMPTS = Path(__file__).parent / "prompts"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """The part of the config that the agent may know."""

    domain: str = "general"
    language: Language = "en"
    evaluator: type[Evaluator] = LossEvaluator
    """A class, whose words are code: no setting of it can be told."""
    teams: tuple[Team, ...] = PAPER_TEAMS
    team_words: tuple[str, ...] = ()
    """What each of the teams does, one line each, out of its operators' specs; without them names must do."""
    spellings: Mapping[Team, tuple[str, ...]] = field(default_factory=dict)
    """What else a reply may call them; it is never told."""
    num_strategies: int = 4
    max_rounds: int = 5

    def __post_init__(self) -> None:
        if not (self.domain.isprintable() and 0 < len(self.domain) <= _MAX_DOMAIN):
            raise ValueError(f"domain must be one line of 1 to {_MAX_DOMAIN} characters, got {self.domain[:80]!r}")
        if self.language not in get_args(Language):
            raise ValueError(f"unknown language {self.language!r}")
        if not (isinstance(self.evaluator, type) and issubclass(self.evaluator, Evaluator)):
            raise ValueError(f"unknown evaluator {self.evaluator!r}")
        object.__setattr__(self, "teams", Strategy(self.teams).teams)
        if len(self.team_words) not in (0, len(self.teams)) or not all(map(_is_team_line, self.team_words)):
            raise ValueError(f"team_words must be one line of at most {MAX_TEAM_WORDS} characters for each team")
        for count in (self.num_strategies, self.max_rounds):
            if not isinstance(count, int):
                raise TypeError(f"num_strategies and max_rounds must be whole numbers, got {type(count).__name__}")
        if not self.teams:
            raise ValueError("the agent needs at least one team that is switched on")
        if not 1 <= self.num_strategies <= MAX_STRATEGIES:
            raise ValueError(f"num_strategies must be 1 to {MAX_STRATEGIES}, got {self.num_strategies}")


def _is_team_line(line: object) -> bool:
    return isinstance(line, str) and line.isprintable() and 0 < len(line) <= MAX_TEAM_WORDS


def open_strategies(task: AgentTask, feedback: Feedback) -> tuple[Strategy, ...]:
    """The strategies that may still be proposed: allowed, and neither scored nor failed yet."""
    tried = feedback.scores
    return tuple(strategy for strategy in strategy_space(task.teams) if strategy and strategy not in tried)


def system_message(task: AgentTask) -> PromptMessage:
    """The task, the black-box rule, what each team can do, and how strategies are written."""
    example = ">".join(task.teams[:2])
    words = dict(zip(task.teams, task.team_words, strict=False))
    return "system", _render(
        "agent_system", task.language, task=task, words=words, example=example, max_strategies=MAX_STRATEGIES
    )


def round_message(task: AgentTask, feedback: Feedback, *, effects: tuple[Effect, ...] = ()) -> PromptMessage:
    """The question of the next round: what to start with, or what all scores so far suggest.

    `effects` are what an estimate from these scores says of single teams and of pairs.
    """
    if not feedback.rounds:
        num_strategies = min(task.num_strategies, len(open_strategies(task, feedback)))
        return "user", _render("agent_first_round", task.language, task=task, num_strategies=num_strategies)
    options = _options(task, feedback) | {"effects": effects, "max_strategies": MAX_STRATEGIES}
    return "user", _render("agent_next_round", task.language, task=task, feedback=feedback, **options)


def repair_message(task: AgentTask, feedback: Feedback, error: ReplyError) -> PromptMessage:
    """What was wrong with the agent's own last reply, and what is open to it."""
    examples = [strategy.text for strategy in open_strategies(task, feedback)[:_NUM_EXAMPLES]]
    scored = [strategy.text for strategy in feedback.scored]
    options = _options(task, feedback)
    return "user", _render("agent_repair", task.language, error=error, open_examples=examples, scored=scored, **options)


def reply_schema(task: AgentTask, feedback: Feedback) -> str:
    """JSON schema of the reply: open strategies only, and only scored ones as the best.

    It keeps to what guided decoding supports everywhere: one flat object, enums, array and string bounds.
    """
    candidates = [strategy.text for strategy in open_strategies(task, feedback)]
    properties: dict[str, object] = {"reasons": {"type": "string", "maxLength": _MAX_REASONS}}
    if feedback.scored:
        decisions = [one.value for one in PolicyDecision if candidates or one is not PolicyDecision.CONTINUE]
        properties["decision"] = {"type": "string", "enum": decisions}
    if candidates:
        items = {"type": "string", "enum": candidates}
        least = 0 if feedback.scored else 1
        properties["strategies"] = {"type": "array", "items": items, "minItems": least, "maxItems": MAX_STRATEGIES}
    if feedback.scored:
        names = [*(strategy.text for strategy in feedback.scored), None]
        properties["best"] = {"type": ["string", "null"], "enum": names}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return json.dumps(schema, separators=(",", ":"))


def _options(task: AgentTask, feedback: Feedback) -> dict[str, object]:
    return {"can_continue": bool(open_strategies(task, feedback)), "can_stop": bool(feedback.scored)}


@cache
def _environment() -> jinja2.Environment:
    return prompt_environment(jinja2.FileSystemLoader(_PROMPTS))


def _render(name: str, language: Language, **values: object) -> str:
    return _environment().get_template(f"{name}.{language}.jinja").render(**values).strip()
