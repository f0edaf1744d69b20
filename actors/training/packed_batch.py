"""Several rows side by side in one sequence, so that short rows cost no padding.

Position ids start anew at each row; the model's causal mask keeps rows apart by them. Only positions that predict an
answer token get logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from actors.training.chat_rows import Example

IGNORED = -100
"""The label of a position without loss."""

PACK_TOKENS = 1024
"""Rows share a sequence up to about this length: attention grows with its square."""

LowerStates = Mapping[bytes, torch.Tensor]
"""What the lower decoder layers give for a row's tokens, by the bytes of these: [T, D] each."""


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
    """Indices of the examples of each sequence: as few sequences as the capacity allows, of nearly equal length.

    All are padded to the longest, so each example, longest first, goes to the sequence that is shortest so far.
    """
    sizes = [len(example.tokens) for example in examples]
    if capacity == 0:
        return [[index] for index in range(len(sizes))]
    bins: list[list[int]] = [[] for _ in range(-(-sum(sizes) // max(capacity, *sizes)))]
    filled = [0] * len(bins)
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        place = filled.index(min(filled))
        bins[place].append(index)
        filled[place] += sizes[index]
    return [sorted(members) for members in bins]


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
            for begin, end in example.spans:
                labels[line, start + begin - 1 : start + end - 1] = row[begin:end]
            owners[line, start : start + size] = index
            start += size
        positions[line, start:] = torch.arange(length - start)
    kept = (labels != IGNORED).any(dim=0).nonzero().flatten()
    inputs = {"position_ids": positions, "logits_to_keep": kept}
    if lower is None:
        inputs["input_ids"] = tokens
    else:
        states = [lower[example.tokens.tobytes()] for example in examples]
        inputs["inputs_embeds"] = _side_by_side([[states[index] for index in members] for members in bins])
    return PackedBatch(inputs=inputs, labels=labels[:, kept], owners=owners[:, kept])


def _side_by_side(lines: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.cat(list(line)) for line in lines], batch_first=True)


def token_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each label, zero where IGNORED; [R, K] float32."""
    flat = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view_as(labels)
