"""A base model that stays loaded between trainings: only what a training changes is made anew.

Adapters are put in with a seed and taken out again; full fine-tuning, which changes every weight, loads afresh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import peft
import torch
import transformers

from actors.training.chat_rows import Example
from actors.training.packed_batch import PACK_TOKENS, LowerStates, PackedBatch, pack
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.split_model import SplitModel, packs, split
from operators.contract.errors import InputError

MEMO_BYTES = 1 << 30
"""What a worker may remember of the lower layers' outputs."""

DECODER_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainable:
    """What one training works on: the model whose forward pass runs, and how its batches are made."""

    model: Any
    """The upper part where lower layers are remembered, else the whole model."""
    whole: Any
    """What is exported and checkpointed: the peft model, or the model itself."""
    pad: int
    capacity: int
    lower: SplitModel | None

    def batch(self, examples: Sequence[Example]) -> PackedBatch:
        """The examples as inputs of `model`."""
        states: LowerStates | None = None
        if self.lower is not None:
            states = self.lower.lower_states(example.tokens for example in examples)
        return pack(examples, capacity=self.capacity, pad=self.pad, lower=states)


class TunedModel:
    """One loaded model folder."""

    def __init__(self, folder: str, recipe: TrainingRecipe) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        dtype = torch.bfloat16 if recipe.precision == "bf16" and recipe.method == "lora" else torch.float32
        self._model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        if recipe.deepspeed is None and recipe.num_gpus_per_worker > 0 and torch.cuda.is_available():
            self._model.to("cuda")
        self._packs = recipe.deepspeed is None and packs(self._model)
        self._splits: dict[int, SplitModel | None] = {}

    def forget_rows(self) -> None:
        """Drops the remembered outputs of the lower layers."""
        self._splits.clear()

    def as_it_is(self) -> Trainable:
        """The model without a training."""
        self._model.eval()
        return self._trainable(self._model, lower=None)

    @contextmanager
    def trainable(self, recipe: TrainingRecipe, *, seed: int, num_tokens: int, whole: bool) -> Iterator[Trainable]:
        """The model prepared for one training, and put back afterwards where the method allows it.

        `num_tokens` of all rows decides whether the lower layers' outputs can be remembered; `whole` forbids it.
        """
        if recipe.method == "full":
            self._model.requires_grad_(True)
            yield self._trainable(self._model, lower=None)
            return
        lower = None if whole else self._lower_layers(recipe, num_tokens)
        torch.manual_seed(seed)
        adapted = peft.get_peft_model(self._model, lora_config(self._model, recipe.lora))
        try:
            yield self._trainable(adapted, lower=lower)
        finally:
            self._model = adapted.unload()

    def _trainable(self, whole: Any, *, lower: SplitModel | None) -> Trainable:  # noqa: ANN401 - any decoder
        pad = self.tokenizer.pad_token_id
        return Trainable(
            model=whole if lower is None else lower.upper,
            whole=whole,
            pad=0 if pad is None else pad,
            capacity=PACK_TOKENS if self._packs else 0,
            lower=lower,
        )

    def _lower_layers(self, recipe: TrainingRecipe, num_tokens: int) -> SplitModel | None:
        num_top_layers = recipe.lora.num_top_layers
        num_bytes = num_tokens * self._model.config.hidden_size * self._model.dtype.itemsize
        if num_top_layers is None or recipe.deepspeed is not None or num_bytes > MEMO_BYTES:
            return None
        if num_top_layers not in self._splits:
            self._splits.clear()
            self._splits[num_top_layers] = split(self._model, num_top_layers=num_top_layers, max_bytes=MEMO_BYTES)
        return self._splits[num_top_layers]


def lora_config(model: Any, recipe: LoraRecipe) -> peft.LoraConfig:  # noqa: ANN401 - any decoder
    """The recipe as peft wants it, with the names of this model's modules.

    Raises:
        InputError: the model has fewer layers, or no module of a name that the recipe gives.
    """
    num_layers: int = model.config.num_hidden_layers
    num_top = num_layers if recipe.num_top_layers is None else recipe.num_top_layers
    if num_top > num_layers:
        raise InputError(f"lora.num_top_layers is {num_top}, but the model has {num_layers} decoder layers")
    inside = [(name, module) for name, module in model.named_modules() if DECODER_LAYER.search(name)]
    linear = {name.rsplit(".", 1)[-1] for name, module in inside if isinstance(module, torch.nn.Linear)}
    targets = set(recipe.target_modules or linear)
    if missing := sorted(targets - linear):
        raise InputError(f"lora.target_modules {missing} are not in the model; it has {sorted(linear)}")
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=sorted(targets),
        layers_to_transform=list(range(num_layers - num_top, num_layers)),
    )
