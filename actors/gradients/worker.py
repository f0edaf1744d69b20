"""Turns rows into sketches of their gradients, at every checkpoint of the warm-up.

Holds one loaded model. Knows no cache of rows and no Ray: `influence` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from actors.gradients.influence_config import Sketches
from actors.gradients.per_sample import GradientRecorder, WeightSpan
from actors.gradients.sketch import Projection, unit
from actors.gradients.warmup_checkpoint import AdamState, WarmupCheckpoint, adam_update
from actors.training.chat_rows import ChatEncoder, Example
from actors.training.packed_batch import PACK_TOKENS
from actors.training.rank_share import groups
from actors.training.recipe import TrainingRecipe
from actors.training.tuned_model import TunedModel

AdamStates = dict[str, AdamState]
GradientKind = Literal["training", "guide"]


class GradientWorker:
    """Sketches gradients with one model and the checkpoints of one warm-up."""

    def __init__(
        self,
        tuned: TunedModel,
        *,
        recipe: TrainingRecipe,
        checkpoints: Sequence[WarmupCheckpoint],
        projection: Projection,
        momentum: bool,
        chunk_rows: int,
    ) -> None:
        self._tuned = tuned
        self._recipe = recipe
        self._checkpoints = checkpoints
        self._projection = projection
        self._momentum = momentum
        self._chunk_rows = chunk_rows
        training = ChatEncoder(tuned.tokenizer, max_length=recipe.max_length, loss_on=recipe.loss_on)
        guide = ChatEncoder(tuned.tokenizer, max_length=recipe.max_length)
        self._encoders: dict[GradientKind, ChatEncoder] = {"training": training, "guide": guide}

    def sketch(self, table: pa.Table, *, kind: GradientKind) -> Sketches:
        """Unit-norm sketches float32 [N, C, D], one per checkpoint; NaN for rows that cannot be trained on.

        `training` gradients are scaled as Adam would at the checkpoint, `guide` gradients are plain.
        """
        numbers = pa.array([str(row) for row in range(table.num_rows)])
        numbered = table.set_column(table.schema.get_field_index("id"), "id", numbers)
        examples = self._encoders[kind].encode(numbered).examples
        found = np.full((table.num_rows, len(self._checkpoints), self._projection.dim), np.nan, dtype=np.float32)
        # The adapters are in the model only while it works: what is left is fit for any other use, and for the exit.
        with self._tuned.trainable(
            self._recipe,
            seed=0,  # the checkpoints replace what it draws
            num_tokens=self._chunk_rows * self._recipe.max_length,
            whole=len(self._checkpoints) == 1,  # remembering the lower layers pays from the second checkpoint on
        ) as trainable:
            recorder = GradientRecorder(trainable)
            for number, checkpoint in enumerate(self._checkpoints):
                states = go_to(checkpoint, trainable.whole)
                step = checkpoint.step if kind == "training" else None
                for group in groups(examples, [len(one.tokens) for one in examples], max_tokens=PACK_TOKENS):
                    some = [examples[at] for at in group]
                    rows = [int(example.row_id) for example in some]
                    found[rows, number] = self._sketch_batch(recorder, some, states, step)
        return found

    def _sketch_batch(
        self, recorder: GradientRecorder, examples: Sequence[Example], states: AdamStates, step: int | None
    ) -> Sketches:
        """[N, D] for one batch; `step` None leaves the gradients plain."""
        out = torch.zeros(len(examples), self._projection.dim, device=next(iter(states.values())).exp_avg.device)

        def project(span: WeightSpan, gradients: torch.Tensor) -> None:
            if step is not None:
                gradients = adam_update(gradients, states[span.name], step=step, momentum=self._momentum)
            self._projection.add(out, gradients.flatten(1), offset=span.offset)

        recorder.record(examples, project)
        found: Sketches = unit(out).cpu().numpy()
        return found


@torch.no_grad()
def go_to(checkpoint: WarmupCheckpoint, model: Any) -> AdamStates:  # noqa: ANN401 - a peft model
    """Puts a checkpoint's weights into the model; its Adam states on the model's device."""
    states: AdamStates = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(checkpoint.weights[name])
            state, device = checkpoint.states[name], parameter.device
            states[name] = AdamState(exp_avg=state.exp_avg.to(device), exp_avg_sq=state.exp_avg_sq.to(device))
    return states
