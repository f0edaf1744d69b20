"""The `loss` evaluator's forward passes: the negative log-likelihood of each held-out answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist

from actors.training.chat_rows import EncodedRows, Example
from actors.training.job import ItemLosses
from actors.training.packed_batch import IGNORED, PACK_TOKENS, token_nll
from actors.training.tuned_model import Trainable
from operators.errors import RunError


@torch.no_grad()
def evaluate(model: Any, trainable: Trainable, rows: EncodedRows) -> ItemLosses:  # noqa: ANN401 - any decoder
    """Losses of the rows in their order; the ranks share the work and all get the result.

    Raises:
        RunError: a loss is no number.
    """
    was_training = model.training
    model.eval()
    mine: dict[int, tuple[float, int]] = {}
    for group in _share_of_rank(list(groups(rows.examples))):
        mine.update(zip(group, _score(model, trainable, [rows.examples[at] for at in group]), strict=True))
    model.train(was_training)
    scored = _gathered(mine)
    if any(total != total for total, _ in scored.values()):
        raise RunError("an evaluation loss is no number: the training diverged; try a lower learning_rate")
    return ItemLosses(
        ids=tuple(example.row_id for example in rows.examples),
        nll_sums=tuple(scored[at][0] for at in range(len(rows.examples))),
        num_tokens=tuple(scored[at][1] for at in range(len(rows.examples))),
        left_out=rows.left_out,
        num_truncated=rows.num_truncated,
    )


def groups(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Indices of the rows of each forward pass: rows of like length together, up to PACK_TOKENS tokens."""
    order = sorted(range(len(examples)), key=lambda at: (len(examples[at].tokens), examples[at].row_id))
    group: list[int] = []
    num_tokens = 0
    for at in order:
        size = len(examples[at].tokens)
        if group and num_tokens + size > PACK_TOKENS:
            yield group
            group, num_tokens = [], 0
        group.append(at)
        num_tokens += size
    if group:
        yield group


def _score(model: Any, trainable: Trainable, examples: Sequence[Example]) -> list[tuple[float, int]]:  # noqa: ANN401
    """(sum of the NLL, tokens) of each example."""
    batch = trainable.batch(examples)
    device = next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in batch.inputs.items()}
    losses = token_nll(model(**inputs, use_cache=False).logits, batch.labels.to(device)).cpu()
    counted = (batch.labels != IGNORED).flatten()
    owners = batch.owners.flatten()[counted]
    sums = torch.zeros(len(examples), dtype=torch.float64).index_add_(0, owners, losses.flatten()[counted].double())
    sizes = torch.bincount(owners, minlength=len(examples))
    return list(zip(sums.tolist(), sizes.tolist(), strict=True))


def _share_of_rank(all_groups: list[list[int]]) -> list[list[int]]:
    """Every n-th group; ranks that would have one less repeat one, since sharded models move in step."""
    if not (dist.is_available() and dist.is_initialized()) or not all_groups:
        return all_groups
    rank, ranks = dist.get_rank(), dist.get_world_size()
    rounds = -(-len(all_groups) // ranks)
    return [all_groups[(at * ranks + rank) % len(all_groups)] for at in range(rounds)]


def _gathered(mine: dict[int, tuple[float, int]]) -> dict[int, tuple[float, int]]:
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return mine
    parts: list[dict[int, tuple[float, int]]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, mine)
    return {at: scored for part in parts for at, scored in part.items()}
