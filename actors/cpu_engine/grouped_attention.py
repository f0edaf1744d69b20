"""Attention that does not copy keys and values once per query head; for decoding on a CPU.

Torch's CPU kernel takes grouped heads as they are, also under a mask; transformers repeats them for its sake, and while
decoding a batch that copy costs more than the attention itself.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

GROUPED_ATTENTION = "autodp_grouped_sdpa"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_ignored: Any,  # noqa: ANN401  transformers hands every attention function what any of them may want
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention of query [B, H, T, D] on key and value [B, G, S, D], G a divisor of H."""
    output = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=attention_mask,
        dropout_p=dropout,
        scale=scaling,
        is_causal=attention_mask is None and query.shape[2] > 1,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output.transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED_ATTENTION, grouped_attention)
AttentionMaskInterface.register(GROUPED_ATTENTION, sdpa_mask)
