"""One YAML per run: every setting of a run, validated, with the paper's defaults where it gives one.

The parts own their settings (dataset, splits, training, ...); this module composes them, reads the file, applies
`--set a.b=c` and turns what is wrong into one clear line.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from actors.batch_worker import PoolConfig
from actors.llm_spec import LLMSpec
from actors.training_recipe import TrainingRecipe
from autodp_ray.dataset_config import DatasetConfig
from autodp_ray.sampling import SamplingConfig
from autodp_ray.splits import SplitsConfig
from autodp_ray.strategy import Team
from operators.errors import InputError
from operators.registry import CLEANING_RECIPE, GENERATION_RECIPE, OPTIMIZATION_RECIPE, AnyOperator

_SEEDED = ("splits", "sampling", "search", "evaluation")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TunedModel(_Section):
    """The model that is fine-tuned to score a strategy."""

    model: str
    """Hub id, local folder, or `pkg:NAME` for weights inside an installed package."""


class ModelsConfig(_Section):
    """Which model does what. Rows go to `operators` alone, never to `agent`."""

    agent: LLMSpec
    operators: LLMSpec
    tuned: TunedModel


class TeamsConfig(_Section):
    """The recipe of each team: its operators, run in the order listed."""

    cleaning: tuple[AnyOperator, ...] = CLEANING_RECIPE
    optimization: tuple[AnyOperator, ...] = OPTIMIZATION_RECIPE
    generation: tuple[AnyOperator, ...] = GENERATION_RECIPE
    selection: tuple[AnyOperator, ...] = ()

    def recipe(self, team: Team) -> tuple[AnyOperator, ...]:
        recipes: Mapping[Team, tuple[AnyOperator, ...]] = {
            Team.CLEANING: self.cleaning,
            Team.OPTIMIZATION: self.optimization,
            Team.GENERATION: self.generation,
            Team.SELECTION: self.selection,
        }
        return recipes[team]


class SearchConfig(_Section):
    """The agent's search. Source: paper, sections 3.2 and 4.1.3 (4 strategies, 5 rounds)."""

    teams: tuple[Team, ...] = (Team.CLEANING, Team.OPTIMIZATION, Team.GENERATION)
    num_strategies: int = Field(default=4, ge=1, le=6)
    max_rounds: int = Field(default=5, ge=1)
    seed: int = 0


class EvaluationConfig(_Section):
    """How a strategy is scored and when a claim is made."""

    evaluator: Literal["loss"] = "loss"
    baseline_seeds: int = Field(default=3, ge=3)
    confirm_seeds: int = Field(default=3, ge=3)
    bootstrap_samples: int = Field(default=2000, ge=100)
    seed: int = 0


class PrivacyConfig(_Section):
    """Which endpoints outside the cluster may see rows: hosts such as `api.example.org`, none by default."""

    allow_rows_to: tuple[str, ...] = ()


class BudgetConfig(_Section):
    """What ends a search in good order when it is used up; null is no limit."""

    seconds: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    trainings: int | None = Field(default=None, gt=0)


class Config(_Section):
    """A whole run."""

    dataset: DatasetConfig
    models: ModelsConfig
    splits: SplitsConfig = SplitsConfig()
    sampling: SamplingConfig = SamplingConfig()
    teams: TeamsConfig = TeamsConfig()
    search: SearchConfig = SearchConfig()
    training: TrainingRecipe = TrainingRecipe()
    evaluation: EvaluationConfig = EvaluationConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    budget: BudgetConfig = BudgetConfig()
    pool: PoolConfig = PoolConfig()
    storage: str | None = None
    """Where runs and the cache live: a folder or URI; by default `runs/` and `.autodp/cache` in the current folder."""

    @model_validator(mode="after")
    def _teams_have_operators(self) -> Config:
        for team in self.search.teams:
            if not self.teams.recipe(team):
                raise ValueError(f"search.teams lists {team.value}, but teams.{team.value} has no operators")
        return self


def load_config(path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a config file and apply overrides such as `search.max_rounds=3`.

    Raises: InputError with the key, what is wrong and the nearest known key.
    """
    return build_config(_read_yaml(path), overrides, source=path)


def build_config(values: Mapping[str, object], overrides: Sequence[str] = (), *, source: str = "the config") -> Config:
    """A config from plain values; `seed` at the top is the default seed of every section that has one."""
    tree = _copied(values)
    for override in overrides:
        _apply(tree, override)
    _spread_seed(tree)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{source}: {'; '.join(_explain(item) for item in error.errors())}") from None


def _read_yaml(path: str) -> dict[str, object]:
    file = Path(path)
    if not file.is_file():
        raise InputError(f"there is no config file {path}; `autodp init DATA` writes one to start from")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no settings; `autodp init DATA` writes a config to start from")
    return values


def _copied(values: Mapping[str, object]) -> dict[str, object]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _apply(tree: dict[str, object], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"--set takes KEY=VALUE such as search.max_rounds=3, not {override!r}")
    node = tree
    for name in names[:-1]:
        child = node.get(name)
        if not isinstance(child, dict):
            child = node[name] = {}
        node = child
    try:
        node[names[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {key}: {text!r} is no valid YAML value") from error


def _spread_seed(tree: dict[str, object]) -> None:
    seed = tree.pop("seed", None)
    if seed is None:
        return
    sections = [tree.setdefault(name, {}) for name in _SEEDED]
    dataset = tree.get("dataset")
    if isinstance(dataset, dict):
        sections.append(dataset.get("corruption"))
    for section in sections:
        if isinstance(section, dict):
            section.setdefault("seed", seed)


def _explain(item: Mapping[str, object]) -> str:
    """One pydantic error as one phrase: the key, what is wrong, the nearest known key."""
    loc = item["loc"]
    assert isinstance(loc, tuple)
    key = ".".join(str(part) for part in loc) or "the config"
    if item["type"] != "extra_forbidden":
        return f"{key}: {str(item['msg']).removeprefix('Value error, ')}"
    known = _known_keys(loc[:-1])
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(known)}"
    return f"unknown key {key}; {hint}"


def _known_keys(loc: Sequence[object]) -> list[str]:
    """The field names of the section at a place in the config; union tags and list positions are passed over."""
    models: list[type[BaseModel]] = [Config]
    for part in loc:
        fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        models = (
            [found for annotation in fields for found in _models_in(annotation)]
            or [model for model in models if _is_tagged(model, part)]
            or models
        )
    return sorted({name for model in models for name in model.model_fields} | ({"seed"} if not loc else set()))


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]


def _is_tagged(model: type[BaseModel], tag: object) -> bool:
    field = model.model_fields.get("name")
    return field is not None and tag in get_args(field.annotation)
