"""Decoding with bfloat16 products: close to float32, and float32 between the products."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from actors.cpu_engine.bf16_linear import BFloat16Linear, use_bfloat16_linears
from actors.cpu_engine.engine import TransformersEngine
from actors.cpu_engine.row import GenerationRequest


def test_logits_are_those_of_float32_within_the_rounding_of_bfloat16(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()
    tokens = torch.arange(5, 17)[None]
    with torch.inference_mode():
        exact = model(input_ids=tokens).logits
        use_bfloat16_linears(model)
        rounded = model(input_ids=tokens).logits
    assert rounded.dtype == torch.float32
    error = float((rounded - exact).abs().max() / exact.abs().max())
    assert 0 < error < 0.03


def test_an_engine_in_bfloat16_on_a_cpu_keeps_everything_but_products_in_float32(tiny_model: Path) -> None:
    engine = TransformersEngine(str(tiny_model), dtype="bfloat16")
    assert engine.device.type == "cpu"
    linears = [module for module in engine.model.modules() if isinstance(module, torch.nn.Linear)]
    assert linears
    assert all(isinstance(one, BFloat16Linear) and one.weight.dtype == torch.bfloat16 for one in linears)
    assert engine.model.get_input_embeddings().weight.dtype == torch.float32
    request = GenerationRequest(messages=(("user", "hello"),), max_tokens=4)
    assert engine.generate([request])[0].completion_tokens > 0
