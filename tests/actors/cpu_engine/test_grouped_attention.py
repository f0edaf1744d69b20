"""Grouped attention gives what transformers' own attention gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from actors.cpu_engine.grouped_attention import GROUPED_ATTENTION


@pytest.fixture(scope="module")
def grouped_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with three query heads to each key head."""
    folder = tmp_path_factory.mktemp("grouped")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("padded", [False, True])
def test_logits_are_those_of_the_usual_attention_in_prefill_and_decoding(grouped_model: Path, padded: bool) -> None:
    mask = torch.ones((3, 9), dtype=torch.long)
    if padded:
        mask[0, :4] = 0
        mask[2, :1] = 0
    tokens = torch.randint(0, 64, (3, 9), generator=torch.Generator().manual_seed(1))
    logits = []
    for attention in (GROUPED_ATTENTION, "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(grouped_model, attn_implementation=attention).eval()
        with torch.no_grad():
            first = model(input_ids=tokens[:, :8], attention_mask=mask[:, :8], use_cache=True)
            last = model(input_ids=tokens[:, 8:], attention_mask=mask, past_key_values=first.past_key_values)
        logits.append(torch.cat([first.logits, last.logits], dim=1)[mask.bool()])
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-5)
