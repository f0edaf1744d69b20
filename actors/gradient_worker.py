"""Turns rows into sketches of their gradients, at every checkpoint of the warm-up.

Holds one loaded model. Knows no cache of rows and no Ray: `influence` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from actors.chat_rows import ChatEncoder, Example
from actors.evaluation_loss import groups
from actors.gradient_sketch import Projection, unit
from actors.per_sample_gradients import GradientRecorder, Span
from actors.training_recipe import TrainingRecipe
from actors.tuned_model import TunedModel
from actors.warmup_checkpoint import AdamState, WarmupCheckpoint, adam_update

Sketches = npt.NDArray[np.float32]
GradientKind = Literal["training", "guide"]
CHUNK_ROWS = 256
"""Rows whose sketches are made, and remembered, together."""


class GradientWorker:
    """Sketches gradients with one model and the checkpoints of one warm-up."""

    def __init__(
        self,
        tuned: TunedModel,
        *,
        recipe: TrainingRecipe,
        checkpoints: Sequence[WarmupCheckpoint],
        projection: Projection,
    ) -> None:
        self._checkpoints = checkpoints
        self._projection = projection
        self._encoder = ChatEncoder(tuned.tokenizer, max_length=recipe.max_length)
        self._stack = ExitStack()
        trainable = self._stack.enter_context(
            tuned.trainable(
                recipe,
                seed=0,  # the checkpoints replace what it draws
                num_tokens=CHUNK_ROWS * recipe.max_length,
                whole=len(checkpoints) == 1,  # remembering the lower layers pays from the second checkpoint on
            )
        )
        self._model = trainable.whole
        self._recorder = GradientRecorder(trainable)

    @property
    def num_coordinates(self) -> int:
        """Trainable weights: the length of a gradient."""
        return self._recorder.num_coordinates

    def sketch(self, table: pa.Table, *, kind: GradientKind) -> Sketches:
        """Unit-norm sketches float32 [N, C, D], one per checkpoint; NaN for rows that cannot be trained on.

        `training` gradients are scaled as Adam would at the checkpoint, `guide` gradients are plain.
        """
        numbered = table.set_column(
            table.schema.get_field_index("id"), "id", pa.array([str(row) for row in range(table.num_rows)])
        )
        examples = self._encoder.encode(numbered).examples
        found = np.full((table.num_rows, len(self._checkpoints), self._projection.dim), np.nan, dtype=np.float32)
        for number, checkpoint in enumerate(self._checkpoints):
            self._go_to(checkpoint)
            for group in groups(examples):
                some = [examples[at] for at in group]
                rows = [int(example.row_id) for example in some]
                found[rows, number] = self._sketch_batch(some, checkpoint if kind == "training" else None)
        return found

    def close(self) -> None:
        """Takes the adapters out of the model again."""
        self._stack.close()

    def _sketch_batch(self, examples: Sequence[Example], adam: WarmupCheckpoint | None) -> Sketches:
        """[N, D] for one batch; `adam` None leaves the gradients plain."""
        out = torch.zeros(len(examples), self._projection.dim, device=next(self._model.parameters()).device)

        def project(span: Span, gradients: torch.Tensor) -> None:
            if adam is not None:
                gradients = adam_update(gradients, self._states[span.name], step=adam.step)
            self._projection.add(out, gradients.flatten(1), offset=span.offset)

        self._recorder.record(examples, project)
        return unit(out).cpu().numpy()

    def _go_to(self, checkpoint: WarmupCheckpoint) -> None:
        """Puts a checkpoint's weights and Adam states where the model is."""
        self._states: dict[str, AdamState] = {}
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(checkpoint.weights[name])
                    state, device = checkpoint.states[name], parameter.device
                    self._states[name] = AdamState(
                        exp_avg=state.exp_avg.to(device), exp_avg_sq=state.exp_avg_sq.to(device)
                    )
