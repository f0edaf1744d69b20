"""The `loss` evaluator's forward passes: the negative log-likelihood of each held-out answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from actors.training.chat_rows import EncodedRows, Example
from actors.training.job import ItemLosses, OnAdvance, unseen
from actors.training.packed_batch import IGNORED, PACK_TOKENS, token_nll
from actors.training.rank_share import advancing, gathered, groups, share_of_rank
from actors.training.tuned_model import Trainable
from operators.contract.errors import DivergedError


@torch.no_grad()
def evaluate(
    model: Any,  # noqa: ANN401 - any decoder
    trainable: Trainable,
    rows: EncodedRows,
    on_advance: OnAdvance = unseen,
) -> ItemLosses:
    """Losses of the rows in their order; the ranks share the work and all get the result.

    Raises:
        DivergedError: a loss is no number.
    """
    was_training = model.training
    model.eval()
    mine: dict[int, tuple[float, int]] = {}
    sizes = [len(example.tokens) for example in rows.examples]
    share = share_of_rank(groups(rows.examples, sizes, max_tokens=PACK_TOKENS))
    for group in advancing(share, on_advance):
        mine.update(zip(group, _score(model, trainable, [rows.examples[at] for at in group]), strict=True))
    model.train(was_training)
    scored = gathered(mine)
    if any(total != total for total, _ in scored.values()):
        raise DivergedError("an evaluation loss is no number: the training diverged; try a lower learning_rate")
    return ItemLosses(
        ids=tuple(example.row_id for example in rows.examples),
        nll_sums=tuple(scored[at][0] for at in range(len(rows.examples))),
        num_tokens=tuple(scored[at][1] for at in range(len(rows.examples))),
        left_out=rows.left_out,
        num_truncated=rows.num_truncated,
    )


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
