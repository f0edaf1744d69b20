"""Lays a whole training out before it starts: which rows each rank sees in each forward pass.

Knows examples and the recipe; knows no model and no tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.training.chat_rows import Example, training_order
from actors.training.recipe import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What one rank sees in one forward pass, and the answer tokens of the whole optimizer step."""

    examples: tuple[Example, ...]
    step_tokens: int


def micro_batches(
    examples: Sequence[Example], *, recipe: TrainingRecipe, seed: int, world_size: int
) -> list[MicroBatch]:
    """The whole training laid out: steps, in each the micro-batches, in each row of them one per rank.

    The order of rows is a function of their ids and the seed; epochs follow each other across batch borders. A last
    batch that is too small for every rank is filled up with a row that carries no loss.
    """
    num_steps = recipe.num_steps(len(examples))
    seen = min(num_steps * recipe.batch_size, num_visits(len(examples), recipe=recipe))
    ids = [example.row_id for example in examples]
    num_epochs = -(-seen // len(examples))
    order = [int(at) for epoch in range(num_epochs) for at in training_order(ids, seed=seed, epoch=epoch)][:seen]
    per_step = -(-recipe.batch_size // (recipe.micro_batch_size * world_size)) * world_size
    laid_out: list[MicroBatch] = []
    for start in range(0, seen, recipe.batch_size):
        rows = [examples[at] for at in order[start : start + recipe.batch_size]]
        step_tokens = sum(example.num_answer for example in rows)
        idle = Example(row_id=rows[0].row_id, tokens=rows[0].tokens, num_prompt=len(rows[0].tokens))
        for place in range(per_step):
            part = tuple(rows[place * len(rows) // per_step : (place + 1) * len(rows) // per_step])
            laid_out.append(MicroBatch(examples=part or (idle,), step_tokens=step_tokens))
    return laid_out


def num_visits(num_rows: int, *, recipe: TrainingRecipe) -> int:
    """Rows that a training sees, counted each time."""
    if recipe.budget == "steps":
        return recipe.num_steps(num_rows) * recipe.batch_size
    return num_rows * recipe.epochs
