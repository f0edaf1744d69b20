"""What a comparison is asked for: policies, repeats, sweeps, judges, final models. Checked before anything starts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from autodp_ray.config.run_config import Config, build_config
from autodp_ray.config.yaml_settings import read_settings
from autodp_ray.evaluators.registry import EVALUATORS, AnyEvaluator
from autodp_ray.reporting.words import command_line
from autodp_ray.runs.settings import shown_override
from autodp_ray.search.policies.base import PolicySpec
from autodp_ray.search.policies.registry import POLICIES, AnyPolicy
from operators.contract.errors import InputError

_A_MODEL = "give a file with the settings of one model, as they stand under models.judge of a config"
DEFAULT_POLICIES = "all,random,greedy,mcts,surrogate,agent,agent_surrogate"
OURS = "agent"
"""The policy that the others are held against, where it takes part; else it is the last one."""
MIN_FINAL_SEEDS = 2
_YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What a user says on the command line; an empty list is what the config says."""

    config_path: str
    overrides: tuple[str, ...] = ()
    output: str | None = None
    fresh: bool = False
    policies: str = DEFAULT_POLICIES
    seeds: int = 1
    final_seeds: int | None = None
    num_strategies: str = ""
    agents: str = ""
    judges: str = ""
    models: str = ""

    def asked(self) -> Mapping[str, object]:
        """What two comparisons of one config must share to be the same, the contents of files that it names among it.

        Raises: InputError for a file that cannot be read.
        """
        files = [name for name in _texts(f"{self.agents},{self.judges}") if name.endswith(_YAML)]
        return {
            "policies": self.policies,
            "seeds": self.seeds,
            "final_seeds": self.final_seeds,
            "num_strategies": self.num_strategies,
            "agents": self.agents,
            "judges": self.judges,
            "models": self.models,
            **({"files": {name: read_settings(name, advice=_A_MODEL) for name in files}} if files else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to search: a policy, the model that it asks, and how many strategies a round has."""

    label: str
    agent: str
    """Of the plan's `agents`, by label."""
    config: Config
    """The comparison's config with this arm's policy, agent and number of strategies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalJudge:
    """What scores the final models."""

    label: str
    config: Config
    """The comparison's config with this evaluator and its model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPlan:
    """Everything that a comparison does, in its order."""

    config: Config
    arms: tuple[Arm, ...]
    """Those that are compared on equal terms; the last is the one that the others are held against."""
    swept: tuple[Arm, ...]
    """The same policy as the last arm's with other agents and numbers of strategies."""
    seeds: tuple[int, ...]
    """Of the searches; each arm searches once with each."""
    trainings: int
    """The most trainings of one search."""
    judges: tuple[FinalJudge, ...]
    models: tuple[str, ...]
    final_seeds: int

    @property
    def ours(self) -> Arm:
        return self.arms[-1]


def comparison_plan(config: Config, options: CompareOptions) -> ComparisonPlan:
    """Raises: InputError for a policy, judge, number or setting that is wrong."""
    if not config.cache.prefixes:
        raise InputError("a comparison shares what strategies have in common: leave cache.prefixes on")
    if config.budget.seconds is not None or config.budget.tokens is not None:
        raise InputError(
            "policies are compared by trainings: set budget.trainings, not budget.seconds or budget.tokens"
        )
    final_seeds = config.evaluation.confirm_seeds if options.final_seeds is None else options.final_seeds
    if options.seeds < 1 or final_seeds < MIN_FINAL_SEEDS:
        raise InputError(
            f"--seeds must be at least 1, and --final-seeds {MIN_FINAL_SEEDS}: one training shows nothing of the "
            "spread between seeds, which is often larger than what strategies differ by"
        )
    policies = _policies(config, options.policies)
    agents = {each.label: each for each in _agents(config, options.agents)}
    sizes = _sizes(config, options.num_strategies)
    size = config.search.num_strategies if config.search.num_strategies in sizes else sizes[0]
    first, *others = agents
    arms = tuple(_arm(agents[first], policy, size, label=policy.name) for policy in policies)
    ours = policies[-1]
    if options.agents and not (ours.roles if others else any(policy.roles for policy in policies)):
        raise InputError(
            f"--agents: {ours.name}, which the others are held against, asks no chat model, so that other agents "
            "change nothing; leave --agents out, or have the policy agent take part"
        )
    swept = [_arm(agents[name], ours, size, label=f"{ours.name} by {name}") for name in others if ours.roles]
    swept += [_arm(agents[first], ours, each, label=f"{ours.name}, K = {each}") for each in sizes if each != size]
    seed = config.search.seed
    return ComparisonPlan(
        config=config,
        arms=arms,
        swept=tuple(swept),
        seeds=tuple(range(seed, seed + options.seeds)),
        trainings=config.budget.trainings or config.search.max_rounds * config.search.num_strategies,
        judges=_judges(config, _texts(options.judges) or (config.evaluation.evaluator.name,)),
        models=_texts(options.models) or (config.models.tuned.model,),
        final_seeds=final_seeds,
    )


def stage_config(plan: ComparisonPlan, agent: str) -> Config:
    """The config that services of an agent's arms are started by: with its model, where one of them asks it."""
    arms = [arm for arm in (*plan.arms, *plan.swept) if arm.agent == agent]
    asking = [arm for arm in arms if arm.config.search.policy.roles]
    return (asking or arms)[0].config


def _texts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _policies(config: Config, text: str) -> tuple[PolicySpec, ...]:
    """The policies by their words, that which the others are held against last."""
    names = [name for name in _texts(text) if name != "none"]
    if not names:
        raise InputError("--policies names no policy; give words such as random,mcts,agent")
    ours = OURS if OURS in names else names[-1]
    names = [*(name for name in names if name != ours), ours]
    return tuple(_policy(config, name) for name in names)


def _policy(config: Config, name: str) -> PolicySpec:
    """The policy with the config's settings, where it is the config's."""
    if config.search.policy.name == name:
        return config.search.policy
    try:
        policy: PolicySpec = TypeAdapter(AnyPolicy).validate_python(name)
    except ValidationError:
        known = [each.model_fields["name"].default for each in POLICIES]
        words = ", ".join(str(word) for word in known if word != "given")
        raise InputError(f"--policies: {name!r} is no policy that can be compared; there are {words}") from None
    return policy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Agent:
    label: str
    config: Config


def _agents(config: Config, text: str) -> Iterable[_Agent]:
    names = _texts(text)
    if not names:
        return [_Agent(label=config.models.agent.model, config=config)]
    return [_Agent(label=label, config=_with_model(config, "agent", name)) for name, label in _labels(names).items()]


def _arm(agent: _Agent, policy: PolicySpec, size: int, *, label: str) -> Arm:
    search = agent.config.search.model_copy(update={"policy": policy, "num_strategies": size})
    config = agent.config.model_copy(update={"search": search})
    return Arm(label=label, agent=agent.label, config=config)


def _sizes(config: Config, text: str) -> tuple[int, ...]:
    if not text:
        return (config.search.num_strategies,)
    parts = _texts(text)
    if not all(part.isdecimal() and 1 <= int(part) <= 6 for part in parts):
        raise InputError(f"--num-strategies takes numbers from 1 to 6, as in 2,4,6, not {text!r}")
    return tuple(dict.fromkeys(int(part) for part in parts))


def _judges(config: Config, texts: Sequence[str]) -> tuple[FinalJudge, ...]:
    return tuple(FinalJudge(label=label, config=_judging(config, text)) for text, label in _labels(texts).items())


def _judging(config: Config, text: str) -> Config:
    """The config with an evaluator by its word, or the evaluator `judge` with the model of a YAML file."""
    if text.endswith(_YAML):
        return _scored_by(_with_model(config, "judge", text), "judge")
    return _scored_by(config, text)


def _scored_by(config: Config, name: str) -> Config:
    if name not in EVALUATORS:
        raise InputError(
            f"--judges: {name!r} is no evaluator; there are {', '.join(EVALUATORS)}, "
            "or a YAML file with the settings of models.judge"
        )
    evaluator = config.evaluation.evaluator
    if evaluator.name != name:
        evaluator = TypeAdapter[AnyEvaluator](AnyEvaluator).validate_python(name)
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"evaluator": evaluator})})


def _with_model(config: Config, role: Literal["agent", "judge"], text: str) -> Config:
    """The config with another chat model in a role: a model's name, or a YAML file with a model's settings.

    Raises: InputError where the file or a setting in it is wrong.
    """
    values = json.loads(config.model_dump_json())
    current = values["models"][role] or values["models"]["operators"]
    values["models"][role] = (
        read_settings(text, advice=_A_MODEL) if text.endswith(_YAML) else {**current, "model": text}
    )
    return build_config(values, source=text)


def _labels(texts: Sequence[str]) -> Mapping[str, str]:
    """What models and files are called: by their last names, or in full where two have the same one."""
    short = {text: _last_name(text) for text in texts}
    return short if len(set(short.values())) == len(short) else dict(zip(texts, texts, strict=True))


def _last_name(text: str) -> str:
    return text.rpartition("/")[2].removeprefix("pkg:").removesuffix(".yaml").removesuffix(".yml")


def command_of(options: CompareOptions) -> str:
    """The command line that makes the same comparison."""
    given = {
        "--policies": options.policies if options.policies != DEFAULT_POLICIES else "",
        "--seeds": str(options.seeds) if options.seeds != 1 else "",
        "--final-seeds": "" if options.final_seeds is None else str(options.final_seeds),
        "--num-strategies": options.num_strategies,
        "--agents": options.agents,
        "--judges": options.judges,
        "--models": options.models,
    }
    words = [word for name, value in given.items() if value for word in (name, value)]
    sets = [word for override in options.overrides for word in ("--set", shown_override(override))]
    return command_line("autodp", "compare", options.config_path, *words, *sets)
