"""The `screener` section: where the trained screener is, how it is reached, and how one is trained."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.screening.manifest import Backbone
from actors.screening.spec import ScreenerCalls, ScreenerSpec
from actors.training.recipe import SettledRecipe, TrainingRecipe
from autodp_ray.damage.corruption import CorruptionConfig, CorruptionKind
from autodp_ray.records.dataset_config import DatasetConfig
from operators.contract.operator import Seed

SCREENED_KINDS: tuple[CorruptionKind, ...] = (
    "markup",
    "repetition",
    "mojibake",
    "missing_answer",
    "missing_question",
    "truncated_answer",
    "wrong_answer",
)
"""Kinds of damage that stand in the row itself; a copy is a fault of the dataset, not of the row."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ScreenerTraining(_Section):
    """How `autodp screen train` makes a screener. Source: paper, section 3.3.1 (`labels: llm`)."""

    backbone: Backbone = "encoder"
    """`encoder` judges by surface features and a cosine, `causal_lm` is a chat model that is fine-tuned on label
    texts."""
    model: str | None = None
    """The encoder or base model; null is all-MiniLM-L6-v2, and for `causal_lm` the tuned model."""
    dataset: DatasetConfig | None = None
    """The rows to train on, clean ones for `labels: corruption`; null is the run's dataset beyond the rows that a run
    reads (`dataset.limit`). Copies of the run's rows are left out in any case."""
    labels: Literal["corruption", "llm"] = "corruption"
    """Where labels come from: `corruption` damages clean rows by seed, `llm` asks the operators' model."""
    corruption: CorruptionConfig = CorruptionConfig(rate=0.5, kinds=dict.fromkeys(SCREENED_KINDS, 1.0))
    """How much of the rows is damaged, and how, with `labels: corruption`."""
    rows_per_score: int = Field(default=2000, ge=1)
    """The most rows that are annotated of each score from 1 to 5, with `labels: llm`."""
    held_out_frac: float = Field(default=0.4, ge=0.1, le=0.8)
    """The share of the rows that is not trained on. Half of it calibrates, and the other half is for the model card."""
    min_rows: int = Field(default=100, ge=10)
    """How many rows a training needs; fewer are refused."""
    max_length: int = Field(default=512, ge=8)
    """The longest prompt and label together in tokens, for `causal_lm`."""
    recipe: SettledRecipe = TrainingRecipe()
    """How a `causal_lm` is fine-tuned. Its `max_length` is the one above."""
    num_cpus: float = Field(default=1.0, gt=0)
    """How many CPUs the worker reserves that trains and judges."""
    num_gpus: float = Field(default=0.0, ge=0)
    """How many GPUs the same worker reserves."""
    seed: Seed = 0
    """The random seed for draws, damage and training."""

    @model_validator(mode="after")
    def _damage_stands_in_the_row(self) -> Self:
        unseen = [kind for kind, weight in self.corruption.kinds.items() if weight > 0 and kind not in SCREENED_KINDS]
        if unseen:
            raise ValueError(f"no screener sees {unseen[0]} in a row; kinds that it may learn: {list(SCREENED_KINDS)}")
        return self


class ScreenerConfig(_Section):
    """Which rows need work, and what a run does with that."""

    folder: str | None = None
    """The folder that `autodp screen train` wrote; null uses no screener."""
    pts: bool = True
    """Whether teams leave rows alone that the screener finds clean (processing target selection)."""
    reach: Literal["local", "served"] = "local"
    """Where rows are judged: `local` is in the process that has them, which costs no start and suits small runs;
    `served` is on Ray Serve: the application of `app_name` where it runs already, else one that the run starts, and
    releases at its end."""
    calls: ScreenerCalls = ScreenerCalls()
    app_name: str = Field(default="screener", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """The name of the Serve application and of its route prefix, with `reach: served`."""
    max_batch_size: int = Field(default=64, ge=1)
    """How many rows a replica judges at one time, with `reach: served`."""
    num_cpus: float = Field(default=1.0, ge=0)
    """How many CPUs the replica of a run reserves, with `reach: served`; serve_configs/screener.*.yaml has more
    settings."""
    num_gpus: float = Field(default=0.0, ge=0)
    """How many GPUs the same replica reserves."""
    train: ScreenerTraining = ScreenerTraining()

    @property
    def judges_rows(self) -> bool:
        """Whether teams are told which rows need work."""
        return self.pts and self.folder is not None

    def spec(self) -> ScreenerSpec:
        """The application that a run starts where none of that name runs."""
        assert self.folder is not None
        return ScreenerSpec(
            folder=self.folder,
            app_name=self.app_name,
            max_batch_size=self.max_batch_size,
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
        )
