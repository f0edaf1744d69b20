"""Linear layers that multiply in bfloat16 in a model that is float32 otherwise; for decoding on a CPU.

There the products are most of the work; what stands between them gains nothing from fewer bits.
"""

from __future__ import annotations

import torch


class BFloat16Linear(torch.nn.Linear):
    """A linear layer with bfloat16 weights, float32 in and out."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(input.bfloat16(), self.weight, self.bias).float()


def use_bfloat16_linears(model: torch.nn.Module) -> None:
    """Turns every plain linear layer into one that multiplies in bfloat16; the model can then only infer."""
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = BFloat16Linear
            module.requires_grad_(False)
            # A weight that is tied to the embedding gets a copy of its own: the embedding stays float32.
            module.weight = torch.nn.Parameter(module.weight.to(torch.bfloat16), requires_grad=False)
            if module.bias is not None:
                module.bias = torch.nn.Parameter(module.bias.to(torch.bfloat16), requires_grad=False)
