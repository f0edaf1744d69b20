"""What a fine-tuning needs of a GPU's memory: arithmetic over the recipe and the model's sizes, before anything starts.

Weights, gradients and optimizer states are counted; activations, logits and buffers are estimated for the longest
rows. Source: the counts per parameter of ZeRO (arXiv 1910.02054), section 3; activations by what a decoder layer keeps
for its backward pass when attention keeps no score matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.models.shape import ModelShape
from actors.training.recipe import TrainingRecipe
from operators.contract.errors import InputError

GIB = 2**30

USABLE_FRAC = 0.92
"""Share of a GPU that tensors can have; the rest goes to the CUDA context, NCCL and fragmentation."""
FP32, BF16 = 4, 2
MOMENTS = 2 * FP32
"""Bytes of Adam's two moments, for each trained parameter."""
LOGIT_BYTES = {"fp32": FP32 + 2 * FP32, "bf16": BF16 + 3 * FP32}
"""Bytes of the logits of one token and one word: as computed, as float32 (a copy for bf16 alone), and their
log-probabilities and gradient."""
SCORED_TOKENS = 1024
"""Tokens of a forward pass that scores rows (actors/training/packed_batch.py), where no row is longer."""
ZERO_BUCKET = 500_000_000
"""Elements that DeepSpeed reduces at a time; one bucket is filled while the other travels."""
ZERO3_LIVE_PARAMS = 1_000_000_000
"""Parameters that DeepSpeed ZeRO-3 keeps gathered at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes on each GPU at the peak of one training."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.buffers


def estimate_memory(recipe: TrainingRecipe, shape: ModelShape) -> MemoryEstimate:
    """What each worker of a training holds on its GPU, with as few workers as it may go on with."""
    states = _sharded(recipe, shape) if recipe.deepspeed else _replicated(recipe, shape)
    fewest = recipe.min_workers or recipe.num_workers  # where some are missing, each has more rows of the batch
    num_tokens = min(recipe.micro_batch_size, -(-recipe.batch_size // fewest)) * recipe.max_length
    return MemoryEstimate(
        weights=states.weights,
        gradients=states.gradients,
        optimizer=states.optimizer,
        buffers=states.buffers,
        activations=num_tokens * _activation_bytes(recipe, shape),
        logits=num_tokens * shape.vocab * LOGIT_BYTES[recipe.precision],
    )


def fits(recipe: TrainingRecipe, shape: ModelShape, gpu_bytes: float) -> bool:
    """Whether each worker's training fits in its share of a GPU with `gpu_bytes`."""
    return estimate_memory(recipe, shape).total <= _usable(recipe, gpu_bytes)


def require_fit(recipe: TrainingRecipe, shape: ModelShape, gpu_bytes: float, *, section: str = "training") -> None:
    """Raises: InputError that says what is needed, what there is and which keys of `section` to change."""
    if fits(recipe, shape, gpu_bytes):
        return
    need = estimate_memory(recipe, shape)
    raise InputError(
        f"a model of {shape.num_params / 1e9:.2f} billion parameters needs {need.total / GIB:.1f} GiB on each GPU "
        f"({_parts(need)}), but a worker can use {_usable(recipe, gpu_bytes) / GIB:.1f} GiB of "
        f"{gpu_bytes / GIB:.1f} GiB; {_advice(recipe, need, section)}"
    )


def require_evaluation_fit(
    recipe: TrainingRecipe, shape: ModelShape, gpu_bytes: float, *, section: str = "training"
) -> None:
    """The same for scoring the model before a training under ZeRO-3: it is sharded then alone, and whole before."""
    weights = shape.num_params * (BF16 if recipe.precision == "bf16" else FP32)
    need = weights + max(recipe.max_length, SCORED_TOKENS) * shape.vocab * LOGIT_BYTES[recipe.precision]
    usable = _usable(recipe, gpu_bytes)
    if recipe.deepspeed != "zero3" or need <= usable:
        return
    way = "" if recipe.precision == "bf16" else f"set {section}.precision to bf16, "
    raise InputError(
        f"a model of {shape.num_params / 1e9:.2f} billion parameters is scored before its training, whole on each GPU: "
        f"that needs {need / GIB:.1f} GiB (weights {weights / GIB:.1f}), but a worker can use {usable / GIB:.1f} GiB "
        f"of {gpu_bytes / GIB:.1f} GiB; {way}take larger GPUs or tune a smaller model"
    )


def memory_table(rows: Sequence[tuple[str, TrainingRecipe, ModelShape]], gpu_bytes: float) -> str:
    """One line for each (label, recipe, shape): GiB on each GPU by use, and whether it fits."""
    width = max([len(label) for label, _, _ in rows] + [len("model")])
    uses = ("weights", "grads", "optim", "activ", "logits", "buffers", "total")
    lines = [f"{'model':<{width}}  {'params':>7}" + "".join(f"{use:>9}" for use in uses) + "  fits"]
    for label, recipe, shape in rows:
        need = estimate_memory(recipe, shape)
        sizes = (need.weights, need.gradients, need.optimizer, need.activations, need.logits, need.buffers, need.total)
        cells = "".join(f"{size / GIB:>9.1f}" for size in sizes)
        verdict = "yes" if fits(recipe, shape, gpu_bytes) else "no"
        lines.append(f"{label:<{width}}  {shape.num_params / 1e9:>6.2f}B{cells}  {verdict}")
    lines.append(f"GiB on each GPU; a worker can use {USABLE_FRAC:.0%} of {gpu_bytes / GIB:.1f} GiB")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _States:
    weights: float
    gradients: float
    optimizer: float
    buffers: float


def _trained(recipe: TrainingRecipe, shape: ModelShape) -> int:
    if recipe.method == "full":
        return shape.num_params
    return shape.lora_params(rank=recipe.lora.rank, num_top_layers=recipe.lora.num_top_layers)


def _replicated(recipe: TrainingRecipe, shape: ModelShape) -> _States:
    """Every worker holds all of it: float32 where it is trained, and under autocast its bf16 copies."""
    trained = _trained(recipe, shape)
    frozen = shape.num_params if recipe.method == "lora" else 0
    is_bf16 = recipe.precision == "bf16"
    return _States(
        weights=frozen * (BF16 if is_bf16 else FP32) + trained * FP32,
        gradients=trained * FP32,
        optimizer=trained * MOMENTS,
        buffers=trained * ((BF16 if is_bf16 else 0) + (FP32 if recipe.num_workers > 1 else 0)),
    )


def _sharded(recipe: TrainingRecipe, shape: ModelShape) -> _States:
    """DeepSpeed: ZeRO-2 shares out gradients and optimizer states, ZeRO-3 the weights too."""
    trained, ranks = _trained(recipe, shape), recipe.num_workers
    held = shape.num_params + (trained if recipe.method == "lora" else 0)
    size = BF16 if recipe.precision == "bf16" else FP32
    is_zero3 = recipe.deepspeed == "zero3"
    master = FP32  # the float32 weights that the optimizer steps on, also where the model itself is float32
    gathered = min(held, ZERO3_LIVE_PARAMS) * size if is_zero3 else 0
    return _States(
        weights=held * size / (ranks if is_zero3 else 1),
        gradients=trained * size / ranks,
        optimizer=trained * (master + MOMENTS) / ranks,
        buffers=gathered + 2 * min(trained, ZERO_BUCKET) * size,
    )


def _activation_bytes(recipe: TrainingRecipe, shape: ModelShape) -> float:
    """What the backward pass needs of one token, over all layers."""
    size = BF16 if recipe.precision == "bf16" else FP32
    layer = size * 4 * (2 * shape.hidden + shape.query_width + shape.key_width + shape.intermediate)
    if recipe.gradient_checkpointing:
        return shape.num_layers * shape.hidden * size + layer
    return shape.num_layers * layer


def _usable(recipe: TrainingRecipe, gpu_bytes: float) -> float:
    return gpu_bytes * USABLE_FRAC * min(1.0, recipe.num_gpus_per_worker or 1.0)


def _parts(need: MemoryEstimate) -> str:
    named = {
        "weights": need.weights,
        "gradients": need.gradients,
        "optimizer": need.optimizer,
        "activations": need.activations,
        "logits": need.logits,
        "buffers": need.buffers,
    }
    return ", ".join(f"{name} {size / GIB:.1f}" for name, size in named.items())


def _advice(recipe: TrainingRecipe, need: MemoryEstimate, section: str) -> str:
    """The keys that would shrink what is largest, in the order in which they cost least."""
    ways = []
    if recipe.micro_batch_size > 1:
        ways.append(f"lower {section}.micro_batch_size ({recipe.micro_batch_size})")
    if not recipe.gradient_checkpointing and need.activations > need.logits:
        ways.append(f"set {section}.gradient_checkpointing")
    if recipe.precision == "fp32":
        ways.append(f"set {section}.precision to bf16")
    if recipe.method == "full" and recipe.deepspeed != "zero3":
        ways.append(f"set {section}.deepspeed to {'zero3' if recipe.deepspeed else 'zero2'}")
    if recipe.deepspeed:
        ways.append(f"raise {section}.num_workers ({recipe.num_workers})")
    ways.append(f"lower {section}.max_length ({recipe.max_length})")
    if recipe.method == "full":
        ways.append(f"set {section}.method to lora")
    return f"{', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else ways[0]
