"""The LoRA warm-up before gradient selection: a short training on a seeded share of the raw sample.

Its checkpoints carry Adam's moments, which plain checkpoints of a training leave out. Source: LESS (arXiv 2402.04333),
section 4.1, step 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import transformers

from actors.gradients.warmup_checkpoint import AdamState, WarmupCheckpoint
from actors.models.source import ResolvedModel
from actors.storage.scratch import scratch_folder
from actors.training.args import training_arguments
from actors.training.chat_rows import ChatEncoder
from actors.training.job import TrainJob
from actors.training.micro_batches import micro_batches
from actors.training.recipe import TrainingRecipe
from actors.training.trainer import AnswerTrainer
from actors.training.tuned_model import TunedModel
from operators.contract.errors import RunError
from operators.rows.record import hash_order, is_complete, take_rows
from operators.select_by_gradient import SelectByGradient


def warmup_rows(table: pa.Table, *, spec: SelectByGradient, recipe: TrainingRecipe) -> pa.Table:
    """The complete rows with the lowest hash of (seed, id): the share that the spec asks for, at least one batch."""
    complete = table.filter(is_complete(table))
    num_rows = max(recipe.batch_size, math.ceil(spec.warmup_frac * complete.num_rows))
    ids = complete["id"].to_pylist()
    order = hash_order(ids, seed=spec.seed, salt="warmup")
    chosen = order[:num_rows]
    return take_rows(complete, np.sort(chosen)).take(np.argsort(np.argsort(chosen)))


def warm_up(
    tuned: TunedModel, model: ResolvedModel, rows: pa.Table, *, spec: SelectByGradient, recipe: TrainingRecipe
) -> list[WarmupCheckpoint]:
    """Trains on the rows, `num_checkpoints` times over, and returns a checkpoint after each pass.

    Raises:
        RunError: no row can be trained on, or the training diverged.
    """
    encoded = ChatEncoder(tuned.tokenizer, max_length=recipe.max_length, loss_on=recipe.loss_on).encode(rows)
    if not encoded.examples:
        raise RunError(f"no complete row to warm up on; left out: {dict(encoded.left_out)}")
    passes = -(-len(encoded.examples) * spec.num_checkpoints // recipe.batch_size)
    num_steps = max(spec.num_checkpoints, passes)
    planned = recipe.model_copy(update={"budget": "steps", "steps": num_steps})
    job = TrainJob(model=model, recipe=planned, seed=spec.seed, train=rows)
    with (
        scratch_folder() as scratch,
        tuned.trainable(planned, seed=spec.seed, num_tokens=0, whole=True) as trainable,
    ):
        laid_out = micro_batches(encoded.examples, recipe=planned, seed=spec.seed, world_size=1)
        arguments = training_arguments(job, folder=str(scratch))
        trainer = AnswerTrainer.over(trainable, laid_out, arguments=arguments, whole=True)
        keeper = CheckpointKeeper(trainable.whole, num_steps=num_steps, num_checkpoints=spec.num_checkpoints)
        trainer.add_callback(keeper)
        trainer.fit(planned)
    return keeper.checkpoints


class CheckpointKeeper(transformers.TrainerCallback):  # type: ignore[misc] # transformers has no types here
    """Copies trainable weights and Adam's moments at evenly spaced steps of a training."""

    def __init__(self, model: Any, *, num_steps: int, num_checkpoints: int) -> None:  # noqa: ANN401 - a peft model
        self.checkpoints: list[WarmupCheckpoint] = []
        self._parameters = {name: one for name, one in model.named_parameters() if one.requires_grad}
        self._ends = {num_steps * (number + 1) // num_checkpoints for number in range(num_checkpoints)}
        self._rates: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ANN401
        """Notes the learning rate of the step that comes."""
        self._rates.append(float(given["lr_scheduler"].get_last_lr()[0]))

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ANN401
        """Keeps a checkpoint where a pass ends."""
        if state.global_step not in self._ends:
            return
        self.checkpoints.append(
            WarmupCheckpoint(
                weights={name: one.detach().float().cpu().clone() for name, one in self._parameters.items()},
                states={name: _adam_state(given["optimizer"].state[one]) for name, one in self._parameters.items()},
                learning_rate=sum(self._rates) / len(self._rates),
                step=int(state.global_step),
            )
        )
        self._rates = []


def _adam_state(state: Mapping[str, Any]) -> AdamState:
    return AdamState(
        exp_avg=state["exp_avg"].float().cpu().clone(), exp_avg_sq=state["exp_avg_sq"].float().cpu().clone()
    )
