"""A two-layer, randomly initialised sentence encoder for tests: the real classes, no weights from anywhere."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from tests.tiny_model import make_tiny_tokenizer


def make_tiny_encoder(folder: Path, *, seed: int = 0) -> Path:
    """Writes tokenizer, config and safetensors weights into `folder` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tiny_tokenizer()
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder
