"""How a model is fine-tuned: one frozen, validated spec that every strategy of a run shares.

Knows no model and no data. The seed is no part of it: each training brings its own.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from actors.models.cpu_features import multiplies_bf16
from operators.contract.digest import json_digest

LossOn = Literal["last", "all"]
"""Which assistant turns carry loss."""


class LoraRecipe(BaseModel):
    """Low-rank adapters on the linear layers of the top decoder layers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rank: int = Field(default=8, ge=1)
    """The rank: the inner size of the two matrices of an adapter."""
    alpha: float = Field(default=16.0, gt=0)
    """An adapter's output is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """The dropout: the share of an adapter's inputs that training sets to zero."""
    num_top_layers: int | None = Field(default=None, ge=1)
    """How many decoder layers, counted from the top, get adapters; null is all of them."""
    target_modules: tuple[str, ...] | None = None
    """The names of the linear modules inside a decoder layer that get adapters; null is every linear module."""


class TrainingRecipe(BaseModel):
    """AdamW fine-tuning; the defaults are the paper's where it gives one.

    `budget: epochs` shows every row `epochs` times, so larger datasets get more optimizer steps (the paper's way).
    `budget: steps` gives every dataset `steps` optimizer steps, so small samples are compared by quality, not by size.
    `batch_size` is global; a rank runs its share in micro-batches of at most `micro_batch_size` rows, which changes
    memory and speed, and the result only in the last bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: ClassVar[int] = 3

    method: Literal["lora", "full"] = "lora"
    """`lora` trains adapters alone, `full` every weight."""
    lora: LoraRecipe = LoraRecipe()
    learning_rate: float = Field(default=1e-5, gt=0)
    """The learning rate of AdamW after the warm-up."""
    batch_size: int = Field(default=64, ge=1)
    """How many rows an optimizer step takes, over all workers."""
    budget: Literal["epochs", "steps"] = "epochs"
    """What sets the length of one training: `epochs` or `steps`. The section of the same name limits the whole run."""
    epochs: int = Field(default=3, ge=1)
    """How often every row is shown, with `budget: epochs`."""
    steps: int | None = Field(default=None, ge=1)
    """How many optimizer steps there are, with `budget: steps`."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up; `constant` keeps it."""
    warmup_frac: float = Field(default=0.0, ge=0, lt=1)
    """The share of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """The weight decay of AdamW."""
    max_length: int = Field(default=1024, ge=8)
    """How many tokens of a row are used, prompt and answer together. A longer prompt loses its start, and a longer
    answer its end; the answer keeps at least half of the room."""
    loss_on: LossOn = "last"
    """Which assistant turns of a conversation are learnt: the `last`, which is the answer that operators process and
    scores judge, or `all`. Scores are of last answers either way."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """The number format of a training. `auto` is bf16 on GPUs and on CPUs that multiply it natively, else fp32."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again instead of kept, which takes less memory and more time."""
    deepspeed: Literal["zero2", "zero3"] | None = None
    """Splits optimizer states and gradients (`zero2`), weights too (`zero3`), over the workers; null does not use
    DeepSpeed."""
    num_workers: int = Field(default=1, ge=1)
    """How many workers share each batch."""
    min_workers: int | None = Field(default=None, ge=1)
    """The fewest workers that a training starts or continues with where the cluster has no room for all; null waits for
    all of them. The global batch stays the same, so only speed and the last bits change. It cannot be set with
    `deepspeed`."""
    num_cpus_per_worker: float = Field(default=1.0, gt=0)
    """How many CPUs a worker reserves."""
    num_gpus_per_worker: float = Field(default=0.0, ge=0)
    """How many GPUs a worker reserves; 0 trains on CPUs."""
    num_threads: int | None = Field(default=None, ge=1)
    """How many threads a worker uses; null is its CPUs, rounded up."""
    micro_batch_size: int = Field(default=8, ge=1)
    """The most rows that a worker computes at one time."""

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        if self.budget == "steps" and self.steps is None:
            raise ValueError("budget: steps needs a number of steps; give steps, or choose budget: epochs")
        if self.deepspeed == "zero3" and self.method == "lora":
            raise ValueError("deepspeed: zero3 splits the weights that LoRA keeps fixed; use zero2, or method: full")
        if self.min_workers is not None and self.min_workers > self.num_workers:
            raise ValueError(f"min_workers {self.min_workers} is more than num_workers {self.num_workers}")
        if self.min_workers is not None and self.deepspeed is not None:
            raise ValueError(
                "min_workers and deepspeed exclude each other: as many workers as wrote DeepSpeed's checkpoints must "
                "load them; leave out one of the two"
            )
        return self

    def resolved(self) -> Self:
        """The recipe with the precision that `auto` means on this machine; a training takes no other."""
        if self.precision != "auto":
            return self
        native = self.num_gpus_per_worker > 0 or multiplies_bf16()
        return self.model_copy(update={"precision": "bf16" if native else "fp32"})

    def num_steps(self, num_rows: int) -> int:
        """Optimizer steps over a dataset of `num_rows` complete rows; batches run on across the ends of epochs."""
        if self.budget == "steps" and self.steps is not None:
            return self.steps
        return -(-num_rows * self.epochs // self.batch_size)

    def for_gradients(self, *, num_gpus: float) -> Self:
        """This recipe as the warm-up and the gradients of `select_by_gradient` use it: LoRA, one worker, no dropout."""
        lora = self.lora.model_copy(update={"dropout": 0.0})
        changed = {"method": "lora", "lora": lora, "deepspeed": None, "num_workers": 1, "min_workers": None}
        changed["num_gpus_per_worker"] = num_gpus
        return type(self).model_validate({**self.model_dump(), **changed})

    def fingerprint(self) -> str:
        """sha256 over the recipe's version and the canonical JSON of every setting that is in use."""
        return json_digest({"version": self.version, "recipe": self.in_use()})

    def in_use(self) -> dict[str, object]:
        """The settings that shape a training: all but those that this method and this budget leave alone."""
        idle = {"lora"} if self.method == "full" else set()
        idle |= {"steps" if self.budget == "epochs" else "epochs", "min_workers"}
        return self.model_dump(mode="json", exclude=idle)


SettledRecipe = Annotated[TrainingRecipe, AfterValidator(TrainingRecipe.resolved)]
"""A recipe in a config: what `auto` means is settled once, for the whole run and for those that resume it."""
