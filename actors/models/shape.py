"""How many parameters a decoder has, counted from the fields of its config.json. Loads no weights.

Knows the dense decoders that differ from Llama in what the table below says, and no others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """What the config of a model type leaves unsaid."""

    ties_embeddings: bool = False
    has_query_bias: bool = False
    """Biases on the projections to queries, keys and values, and on no other."""
    norms_per_layer: int = 2
    norms_heads: bool = False
    """A norm over each head of the queries and the keys."""


_FAMILIES: Mapping[str, _Family] = {
    "llama": _Family(),
    "mistral": _Family(),
    "qwen2": _Family(has_query_bias=True),
    "qwen3": _Family(norms_heads=True),
    "gemma2": _Family(ties_embeddings=True, norms_per_layer=4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a dense decoder that its memory depends on."""

    num_layers: int
    hidden: int
    intermediate: int
    vocab: int
    query_width: int
    """Heads times the width of a head."""
    key_width: int
    """The same for keys, and for values."""
    num_embeddings: int
    """2 where input and output embeddings are separate weights, else 1."""
    vectors_per_layer: int
    """Parameters of a layer's norms and biases together."""

    @property
    def params_per_layer(self) -> int:
        attention = 2 * self.hidden * (self.query_width + self.key_width)
        return attention + 3 * self.hidden * self.intermediate + self.vectors_per_layer

    @property
    def num_params(self) -> int:
        embeddings = self.num_embeddings * self.vocab * self.hidden
        return embeddings + self.num_layers * self.params_per_layer + self.hidden

    def lora_params(self, *, rank: int, num_top_layers: int | None = None) -> int:
        """Parameters of adapters on every linear module of the top layers."""
        widths = (
            (self.hidden, self.query_width),
            (self.hidden, self.key_width),
            (self.hidden, self.key_width),
            (self.query_width, self.hidden),
            *[(self.hidden, self.intermediate)] * 3,
        )
        layers = self.num_layers if num_top_layers is None else min(num_top_layers, self.num_layers)
        return layers * rank * sum(ins + outs for ins, outs in widths)


def shape_of(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape that a parsed config.json describes; None for a model type that is not known here.

    Raises: InputError for a config of a known type that lacks a size.
    """
    family = _FAMILIES.get(str(config.get("model_type")))
    if family is None:
        return None
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        head_dim = int(config.get("head_dim") or hidden // heads)
        key_heads = int(config.get("num_key_value_heads") or heads)
        layers, intermediate = int(config["num_hidden_layers"]), int(config["intermediate_size"])
        vocab = int(config["vocab_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the model's config.json lacks a size ({error}); is the folder whole?") from error
    has_all_biases = bool(config.get("attention_bias"))
    biases = heads * head_dim + 2 * key_heads * head_dim if family.has_query_bias or has_all_biases else 0
    biases += hidden if has_all_biases else 0
    biases += 2 * intermediate + hidden if config.get("mlp_bias") else 0
    norms = family.norms_per_layer * hidden + (2 * head_dim if family.norms_heads else 0)
    return ModelShape(
        num_layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        vocab=vocab,
        query_width=heads * head_dim,
        key_width=key_heads * head_dim,
        num_embeddings=1 if config.get("tie_word_embeddings", family.ties_embeddings) else 2,
        vectors_per_layer=norms + biases,
    )


def read_shape(folder: str) -> ModelShape | None:
    """The shape of the model in a local folder.

    Raises: InputError where config.json is missing or no JSON object.
    """
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}); name a folder that holds a model") from error
    return shape_of(config) if isinstance(config, dict) else None
