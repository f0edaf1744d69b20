"""One YAML per run: every setting of a run, validated, with the paper's defaults where it gives one.

The parts own their settings (dataset, splits, training, ...); this module composes them, reads the file, applies
`--set a.b=c`; errors.py words what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from actors.data.pool_config import PoolConfig
from actors.llm.engines.base import LLMSpec
from actors.llm.spec import AnyLLM
from actors.training.recipe import SettledRecipe, TrainingRecipe
from autodp_ray.config.errors import explain
from autodp_ray.config.odd_numbers import huge_numbers, switches
from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.config.screener_config import ScreenerConfig
from autodp_ray.config.splits_config import SplitsConfig
from autodp_ray.config.teams_config import TeamsConfig
from autodp_ray.config.yaml_settings import parse_value, read_settings, shown
from autodp_ray.evaluators.base import Role
from autodp_ray.evaluators.loss import LossEvaluator
from autodp_ray.evaluators.registry import AnyEvaluator
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.search.confirmation import Confirmation
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.policies.given import GivenSearch
from autodp_ray.search.policies.registry import AnyPolicy
from autodp_ray.search.stop_rules.base import StopRuleSpec
from autodp_ray.search.stop_rules.budget import BudgetConfig
from autodp_ray.search.stop_rules.max_rounds import MaxRounds
from autodp_ray.search.stop_rules.registry import AnyStopRule
from autodp_ray.strategy import PAPER_TEAMS, Team
from autodp_ray.tracking.none import NoTracking
from autodp_ray.tracking.registry import AnyTracking
from operators.contract.errors import InputError
from operators.contract.operator import MAX_SEED, Seed

M = TypeVar("M", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TunedModelConfig(_Section):
    """The model that is fine-tuned to score a strategy."""

    model: str = Field(min_length=1)
    """The model: a hub id, a local folder, or `pkg:NAME` for weights inside an installed package."""


class ModelsConfig(_Section):
    """Which model does what. Rows go to `operators` and `judge` alone, never to `agent`."""

    agent: AnyLLM
    """Proposes strategies."""
    operators: AnyLLM
    """Rewrites rows, fills in missing fields and writes new rows."""
    tuned: TunedModelConfig
    judge: AnyLLM | None = None
    """Compares answers for the evaluator `judge`, and so reads held-out rows; null is `operators`."""

    def reader(self, role: Role) -> LLMSpec:
        """The model of a role that reads rows, whether it has a section of its own or not."""
        return {"operators": self.operators, "judge": self.judge or self.operators}[role]


def _each_once(teams: tuple[Team, ...]) -> tuple[Team, ...]:
    if len(set(teams)) != len(teams):
        raise ValueError(f"a team is listed twice: {', '.join(teams)}")
    return teams


class SearchConfig(_Section):
    """How strategies are searched for. Source: paper, sections 3.2 and 4.1.3 (4 strategies, 5 rounds)."""

    policy: AnyPolicy = AgentSearch()
    """What chooses strategies: its name alone, or a section with the name. The paper's is `agent`."""
    teams: Annotated[tuple[Team, ...], AfterValidator(_each_once)] = Field(default=PAPER_TEAMS, min_length=1)
    """The teams that strategies are made of; by default these and every team of your own."""
    num_strategies: int = Field(default=4, ge=1, le=6)
    """How many strategies a round has. The agent is asked for this many in the first round, and each of its rounds may
    hold up to 6."""
    max_rounds: int = Field(default=5, ge=1)
    """The most rounds of a search; the policy may stop earlier."""
    race_leaders: int = Field(default=0, ge=0)
    """How many of the best strategies are trained once more, from another seed, before one of them is chosen; 0
    chooses by one training of each. These trainings come on top of `budget`."""
    stop: tuple[AnyStopRule, ...] = ()
    """What ends the search beside `max_rounds` and `budget`: a list of names, or of sections with a name."""
    max_concurrency: int | None = Field(default=None, ge=1)
    """How many strategies of a round are worked on at one time; null is as many as the cluster has CPUs free for."""
    seed: Seed = 0
    """Random seed for the agent's replies, or for what another policy draws."""

    @property
    def used_teams(self) -> tuple[Team, ...]:
        """The teams that the policy may ask for."""
        return self.policy.used_teams(self.teams)

    @property
    def most_trainings(self) -> int:
        """The most trainings that a search takes, without the baseline's."""
        return self.most_strategies + min(self.race_leaders, self.most_strategies)

    @property
    def most_strategies(self) -> int:
        """The most strategies that a search scores."""
        return self.policy.most_strategies(self.teams, max_rounds=self.max_rounds, num_strategies=self.num_strategies)


class EvaluationConfig(_Section):
    """How a strategy is scored and when a claim is made."""

    evaluator: AnyEvaluator = LossEvaluator()
    """How a strategy is scored: the evaluator's name, or a section with `name`."""
    max_answer_tokens: int = Field(default=512, ge=1)
    """How many tokens an answer of the tuned model may have; `loss` needs no answers."""
    baseline_seeds: int = Field(default=3, ge=3)
    """How often the unprocessed sample is trained on: the mean of the scores is r_0, and their spread is the noise
    floor."""
    confirm_seeds: int = Field(default=3, ge=3)
    """How many fresh trainings of the winner the claim rests on."""
    confirm_baseline_seeds: int | None = Field(default=None, ge=3)
    """How many fresh trainings of the baseline the claim rests on; null is as many as of the winner."""
    confirm_seeds_at_most: int | None = Field(default=None, ge=3)
    """While the claim is undecided, seeds are added on both sides until the winner has this many; null adds none."""
    bootstrap_samples: int = Field(default=2000, ge=100)
    """How many resamples an interval is computed from."""
    seed: Seed = 0
    """Random seed for the trainings and the resamples of intervals."""

    @property
    def confirmation(self) -> Confirmation:
        """How many fresh trainings decide the claim."""
        return Confirmation(
            candidate=self.confirm_seeds,
            baseline=self.confirm_baseline_seeds or self.confirm_seeds,
            most=self.confirm_seeds_at_most,
        )

    @property
    def answer_tokens(self) -> int | None:
        """How long answers to the held-out questions may be; None where tuned models write none."""
        return self.max_answer_tokens if self.evaluator.needs_answers else None


class PrivacyConfig(_Section):
    """Which endpoints outside the cluster may see rows: hosts such as `api.example.org`, none by default."""

    allow_rows_to: tuple[str, ...] = ()
    """The hosts that may see rows, without a scheme or port."""

    @field_validator("allow_rows_to")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if "/" in host or (":" in host and "]" not in host and host.count(":") == 1):
                raise ValueError(f"give hosts alone, such as api.example.org, not {host!r}")
        return tuple(host.strip("[]").lower() for host in hosts)


class CacheConfig(_Section):
    """What a run may take from earlier work. Off is for measuring what the reuse saves."""

    prefixes: bool = True
    """Whether processed datasets and trainings are taken from the cache. If not, every strategy starts from the raw
    sample and is trained anew."""
    rows: bool = True
    """Whether results for single rows are reused: completions, the screener's verdicts, gradients, outputs of frozen
    layers."""


class Config(_Section):
    """The top level of the file. A type such as section `models.agent` has a table of its own below."""

    dataset: DatasetConfig
    models: ModelsConfig
    splits: SplitsConfig = SplitsConfig()
    sampling: SamplingConfig = SamplingConfig()
    screener: ScreenerConfig = ScreenerConfig()
    teams: TeamsConfig = TeamsConfig()
    search: SearchConfig = SearchConfig()
    training: SettledRecipe = TrainingRecipe()
    tune: SettledRecipe | None = None
    """The training recipe of `autodp tune`, in place of `training`. null is `training` with `budget: epochs`."""
    evaluation: EvaluationConfig = EvaluationConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    budget: BudgetConfig = BudgetConfig()
    cache: CacheConfig = CacheConfig()
    pool: PoolConfig = PoolConfig()
    tracking: AnyTracking = NoTracking()
    """The experiment tracker that a run is logged to: its name, or a section with `name`. No row is ever logged."""
    storage: str | None = None
    """Where runs and the cache live: a folder or URI; by default `runs/` and `.autodp/cache` in the current folder."""

    def scoring(self, strategies: str | None) -> Config:
        """The same run, but scoring these rounds instead of what its policy chooses; itself where there are none.

        Raises: InputError where a strategy is wrong or needs a team that is switched off.
        """
        if strategies is None:
            return self
        policy = GivenSearch(rounds=strategies)
        policy.used_teams(self.search.teams)
        return self.model_copy(update={"search": self.search.model_copy(update={"policy": policy})})

    @property
    def stop_rules(self) -> tuple[StopRuleSpec, ...]:
        """What may end the search before its policy does, in the order asked."""
        if not self.search.policy.obeys_stop_rules:
            return ()
        return (MaxRounds(rounds=self.search.max_rounds), *self.search.stop, self.budget)

    @model_validator(mode="before")
    @classmethod
    def _own_teams_take_part(cls, values: object) -> object:
        """Teams of the author's own are searched like the four, unless `search.teams` says which are."""
        if not isinstance(values, Mapping):
            return values
        teams, search = (values.get(key) or {} for key in ("teams", "search"))
        if not (isinstance(teams, Mapping) and isinstance(search, Mapping)):
            return values
        own = [name for name in teams if name not in PAPER_TEAMS]
        if not own or "teams" in search:
            return values
        return {**values, "search": {**search, "teams": [*PAPER_TEAMS, *own]}}

    @field_validator("training")
    @classmethod
    def _one_size(cls, training: TrainingRecipe) -> TrainingRecipe:
        if training.min_workers is not None:
            raise ValueError(
                "min_workers belongs to tune: the scores of a search are compared, so all its trainings have one size"
            )
        return training

    @model_validator(mode="after")
    def _models_can_answer(self) -> Config:
        evaluator = self.evaluation.evaluator
        if evaluator.needs_answers and self.training.deepspeed == "zero3":
            raise ValueError(
                f"evaluation.evaluator {evaluator.name} has tuned models write answers, for which a worker "
                "needs the whole model: set training.deepspeed to zero2 or null"
            )
        return self

    @model_validator(mode="after")
    def _teams_have_operators(self) -> Config:
        for team in self.search.teams:
            if team not in self.teams.names:
                raise ValueError(
                    f"search.teams lists {team}, which teams does not have; it has {', '.join(self.teams.names)}"
                )
            if not self.teams.recipe(team):
                raise ValueError(f"search.teams lists {team}, but teams.{team} has no operators")
        try:
            self.search.policy.used_teams(self.search.teams)
        except InputError as error:
            raise ValueError(f"search: {error}") from None
        return self


class _DatasetAlone(_Section):
    """A config of which only the dataset is known yet."""

    dataset: DatasetConfig


_SECTIONS = frozenset(Config.model_fields) - {"storage"}
"""Top-level keys that hold settings; one that is left empty in the YAML keeps its defaults."""


def load_config(path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a config file and apply overrides such as `search.max_rounds=3`.

    Raises: InputError with the key, what is wrong and the nearest known key.
    """
    return build_config(read_settings(path), overrides, source=shown(path))


def dataset_settings(path: str, overrides: Sequence[str] = ()) -> DatasetConfig:
    """The settings of a dataset alone, with overrides such as `dataset.columns.question=ask`.

    Raises: InputError for an override of anything else, or a wrong one.
    """
    tree: dict[str, object] = {"dataset": {"path": path}}
    for override in overrides:
        if not override.startswith("dataset."):
            raise InputError(f"--set takes dataset.KEY=VALUE here, such as dataset.format=csv, not {shown(override)!r}")
        _apply(tree, override)
    return _validated(_DatasetAlone, tree).dataset


def build_config(values: Mapping[str, object], overrides: Sequence[str] = (), *, source: str = "the config") -> Config:
    """A config from plain values; `seed` at the top is the seed of every section that names none."""
    tree = {key: value for key, value in _copied(values).items() if value is not None or key not in _SECTIONS}
    for override in overrides:
        _apply(tree, override)
    seed = _take_seed(tree)
    try:
        config = _validated(Config, tree)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    if huge := next(huge_numbers(config.model_dump()), None):
        raise InputError(f"{source}: {huge} must lie between -2^53 and 2^53, which every number here can be told in")
    return config if seed is None else _seeded(config, seed)


def _validated(section: type[M], tree: Mapping[str, object]) -> M:
    """Raises: InputError with all faults, or with a switch where a number belongs, which pydantic takes for 0 or 1."""
    try:
        settings = section.model_validate(tree)
    except ValidationError as error:
        raise InputError(explain(error, section)) from None
    if switch := next(switches(tree, settings.model_dump()), None):
        raise InputError(f"{switch}: must be a number, not true or false")
    return settings


def _copied(values: Mapping[str, object]) -> dict[str, object]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _apply(tree: dict[str, object], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"--set takes KEY=VALUE such as search.max_rounds=3, not {shown(override)!r}")
    node = tree
    for name in names[:-1]:
        child = node.get(name)
        if isinstance(child, list):
            raise InputError(f"--set {key.strip()}: {name} is a list; give all of it, as in --set ...{name}=[...]")
        if not isinstance(child, dict):
            child = node[name] = {}
        node = child
    try:
        value = parse_value(text, source="it")
    except InputError:
        raise InputError(f"--set {shown(key)}: {shown(text)!r} is no valid YAML value") from None
    is_plain = isinstance(value, str) and value and text.strip().startswith(value)
    node[names[-1]] = text.strip() if is_plain else value  # what follows a # is no comment here


def _take_seed(tree: dict[str, object]) -> int | None:
    """The seed at the top of the settings, which is no section of its own."""
    seed = tree.pop("seed", None)
    if seed is None:
        return None
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"seed: must be a whole number, not {shown(repr(seed), 60)}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed: must lie between 0 and {MAX_SEED}, not {shown(repr(seed), 60)}")
    return seed


def _seeded(section: M, seed: int) -> M:
    """The section with that seed wherever it or a section inside it takes one and the author named none."""
    changed: dict[str, object] = {}
    for name in (*type(section).model_fields, *(section.model_extra or ())):
        value = getattr(section, name)
        if name == "seed" and name not in section.model_fields_set:
            changed[name] = seed
        elif (inner := _seeded_inside(value, seed)) != value:
            changed[name] = inner
    return section.model_copy(update=changed)


def _seeded_inside(value: object, seed: int) -> object:
    if isinstance(value, BaseModel):
        return _seeded(value, seed)
    if isinstance(value, tuple):
        return tuple(_seeded_inside(each, seed) for each in value)
    if isinstance(value, Mapping):
        return {name: _seeded_inside(each, seed) for name, each in value.items()}
    return value
