"""The gradient of each row of a batch, from one forward and one backward pass.

The gradient of a linear layer's weight is a sum over tokens of output gradient times input. Hooks catch both while the
batch runs; summing over one row's tokens alone gives that row's gradient. So a batch costs what a training step costs,
at any size, padded or packed. A row's loss is the mean NLL of its answer's tokens. Source: LESS (arXiv 2402.04333),
section 4, for the loss. Knows no optimizer and no projection: what happens to the gradients is the sink's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from actors.training.chat_rows import Example
from actors.training.packed_batch import IGNORED, bins_of, token_nll
from actors.training.tuned_model import Trainable
from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSpan:
    """The place of one weight among all coordinates of a gradient."""

    name: str
    offset: int
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]


GradientSink = Callable[[WeightSpan, torch.Tensor], None]
"""Takes the gradients of one weight for every row of the batch, float32 [N, out, in], as backward makes them."""


class GradientRecorder:
    """Computes per-sample gradients of every trainable weight of a model."""

    def __init__(self, trainable: Trainable) -> None:
        self._trainable = trainable
        self._linears = list(_trainable_linears(trainable.whole))
        self.num_coordinates = sum(span.size for span, _ in self._linears)

    @property
    def spans(self) -> tuple[WeightSpan, ...]:
        """All trainable weights, in the order of their coordinates."""
        return tuple(span for span, _ in self._linears)

    def record(self, examples: Sequence[Example], sink: GradientSink) -> None:
        """One pass over N examples in one batch; `sink` gets each weight once, in the order of the backward pass."""
        model = self._trainable.model
        model.eval()  # no dropout: a row's gradient is a function of the row
        device = next(model.parameters()).device
        slots = token_slots(examples, capacity=self._trainable.capacity).to(device)
        batch = self._trainable.batch(examples)
        inputs = {name: value.to(device) for name, value in batch.inputs.items()}
        with self._hooks(slots, sink), torch.enable_grad():
            losses = token_nll(model(**inputs, use_cache=False).logits, batch.labels.to(device))
            means = _mean_per_row(losses, batch.labels, batch.owners, num_rows=len(examples))
            torch.autograd.backward(means.sum())
        for _, linear in self._linears:
            linear.weight.grad = None

    @contextmanager
    def _hooks(self, slots: TokenSlots, sink: GradientSink) -> Iterator[None]:
        handles = [linear.register_forward_hook(_catch(span, slots, sink)) for span, linear in self._linears]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSlots:
    """Where the tokens of N rows lie in a batch [R, L]."""

    index: torch.Tensor | None
    """Flat position of each row's tokens, [N, T]; None where row n is simply sequence n."""
    mask: torch.Tensor | None
    """1 for a token, 0 past a row's end; [N, T, 1] float32."""

    def to(self, device: torch.device) -> TokenSlots:
        if self.index is None or self.mask is None:
            return self
        return TokenSlots(index=self.index.to(device), mask=self.mask.to(device))

    def weight_gradients(self, inputs: torch.Tensor, output_gradients: torch.Tensor) -> torch.Tensor:
        """Per row the sum over its tokens of output gradient x input: [R, L, in], [R, L, out] -> [N, out, in]."""
        inputs, output_gradients = inputs.float(), output_gradients.float()
        if self.index is not None and self.mask is not None:
            inputs = inputs.flatten(0, 1)[self.index]
            output_gradients = output_gradients.flatten(0, 1)[self.index] * self.mask
        return torch.einsum("nto,nti->noi", output_gradients, inputs)


def token_slots(examples: Sequence[Example], *, capacity: int) -> TokenSlots:
    """Where `pack` puts the examples at this capacity."""
    bins = bins_of(examples, capacity=capacity)
    if [[index] for index in range(len(examples))] == bins:
        return TokenSlots(index=None, mask=None)  # padding has no loss, so no output gradient
    sizes = torch.tensor([len(example.tokens) for example in examples])
    line_length = max(sum(len(examples[index].tokens) for index in members) for members in bins)
    starts = torch.zeros(len(examples), dtype=torch.long)
    for line, members in enumerate(bins):
        start = line * line_length
        for index in members:
            starts[index] = start
            start += len(examples[index].tokens)
    steps = torch.arange(int(sizes.max()))
    mask = steps < sizes[:, None]
    return TokenSlots(index=torch.where(mask, starts[:, None] + steps, 0), mask=mask[:, :, None].float())


def _catch(span: WeightSpan, slots: TokenSlots, sink: GradientSink) -> Callable[..., None]:
    """A forward hook that keeps a layer's input until its output's gradient is there."""

    def forward_hook(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:  # noqa: ANN401
        if not output.requires_grad:  # the first pass of a checkpointed layer
            return
        given = inputs[0].detach()
        output.register_hook(lambda gradient: sink(span, slots.weight_gradients(given, gradient)))

    return forward_hook


def _mean_per_row(losses: torch.Tensor, labels: torch.Tensor, owners: torch.Tensor, *, num_rows: int) -> torch.Tensor:
    """Mean loss [N] over each row's labelled positions [R, K]."""
    counted = (labels != IGNORED).flatten()
    mine = owners.flatten()[counted].to(losses.device)
    sums = torch.zeros(num_rows, device=losses.device).index_add(0, mine, losses.flatten()[counted.to(losses.device)])
    return sums / torch.bincount(mine, minlength=num_rows)


def _trainable_linears(model: Any) -> Iterator[tuple[WeightSpan, torch.nn.Linear]]:  # noqa: ANN401 - any decoder
    """Linear layers with a trainable weight, in the model's order.

    Raises:
        InputError: something else is trainable, whose per-sample gradients no hook here gives.
    """
    wanted = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    offset = 0
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and f"{name}.weight" in wanted:
            wanted.discard(f"{name}.weight")
            shape = (module.out_features, module.in_features)
            yield WeightSpan(name=f"{name}.weight", offset=offset, shape=shape), module
            offset += shape[0] * shape[1]
    if wanted:
        raise InputError(f"per-sample gradients need weights of linear layers; also trainable are {sorted(wanted)[:4]}")
