"""Several rows side by side in one sequence, so that short rows cost no padding.

Position ids start anew at each row; the model's causal mask keeps rows apart by them. Only positions that predict an
answer token get logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from actors.chat_rows import Example

IGNORED = -100
"""The label of a position without loss."""

PACK_TOKENS = 512
"""Rows share a sequence up to this length; attention over more would cost more than padding."""

LowerStates = Mapping[tuple[int, ...], torch.Tensor]
"""What the lower decoder layers give for a row's tokens: [T, D] each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Inputs of a forward pass over R sequences of length L with K logit positions."""

    inputs: Mapping[str, torch.Tensor]
    """`position_ids` [R, L], `logits_to_keep` [K], and `input_ids` [R, L] or `inputs_embeds` [R, L, D]."""
    labels: torch.Tensor
    """Next token at each kept position, or IGNORED; [R, K]."""
    owners: torch.Tensor
    """Index of the example that owns each label, in the order that `pack` got them; [R, K]."""


def bins_of(examples: Sequence[Example], *, capacity: int) -> list[list[int]]:
    """Indices of the examples of each sequence: first fit, in order; a longer example has a sequence to itself."""
    bins: list[list[int]] = []
    room: list[int] = []
    for index, example in enumerate(examples):
        size = len(example.tokens)
        place = next((at for at, left in enumerate(room) if left >= size), None)
        if place is None:
            bins.append([])
            room.append(max(capacity, size))
            place = len(bins) - 1
        bins[place].append(index)
        room[place] -= size
    return bins


def pack(examples: Sequence[Example], *, capacity: int, pad: int, lower: LowerStates | None = None) -> PackedBatch:
    """The examples as one batch; `lower` replaces token ids by hidden states. `capacity` 0: one row per sequence."""
    bins = bins_of(examples, capacity=capacity)
    length = max(sum(len(examples[index].tokens) for index in members) for members in bins)
    tokens = torch.full((len(bins), length), pad)
    positions = torch.zeros((len(bins), length), dtype=torch.long)
    labels = torch.full((len(bins), length), IGNORED)
    owners = torch.zeros((len(bins), length), dtype=torch.long)
    for line, members in enumerate(bins):
        start = 0
        for index in members:
            example = examples[index]
            size = len(example.tokens)
            row = torch.tensor(example.tokens)
            tokens[line, start : start + size] = row
            positions[line, start : start + size] = torch.arange(size)
            labels[line, start + example.num_prompt - 1 : start + size - 1] = row[example.num_prompt :]
            owners[line, start : start + size] = index
            start += size
        positions[line, start:] = torch.arange(length - start)
    kept = (labels != IGNORED).any(dim=0).nonzero().flatten()
    inputs = {"position_ids": positions, "logits_to_keep": kept}
    if lower is None:
        inputs["input_ids"] = tokens
    else:
        inputs["inputs_embeds"] = _side_by_side([[lower[examples[i].tokens] for i in members] for members in bins])
    return PackedBatch(inputs=inputs, labels=labels[:, kept], owners=owners[:, kept])


def _side_by_side(lines: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.cat(list(line)) for line in lines], batch_first=True)


def token_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each label, zero where IGNORED; [R, K] float32."""
    flat = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view_as(labels)
