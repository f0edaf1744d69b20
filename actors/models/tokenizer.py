"""Counts tokens with a model's own tokenizer; loaded once per process, when it is first asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from actors.models.source import ResolvedModel

TOKENIZER_FILE = "tokenizer.json"

CountTokensFn = Callable[[list[str]], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTokenizer:
    """Implements the contract's `Tokenizer`. Plain data until it counts, so it travels to workers as it is."""

    model: ResolvedModel

    @property
    def revision(self) -> str:
        """What identifies its vocabulary."""
        return self.model.revision

    @property
    def max_tokens_per_byte(self) -> int | None:
        """The bound that the tokenizer's own file proves; None where it has none, or the file is not there."""
        file = Path(self.model.path) / TOKENIZER_FILE
        return _max_tokens_per_byte(file) if file.is_file() else None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return _counter(self.model)(list(texts)) if texts else []


@cache
def _max_tokens_per_byte(file: Path) -> int | None:
    """Byte-level BPE makes of each byte at most one token; NFC makes of a text at most three times as many bytes."""
    settings = json.loads(file.read_text(encoding="utf-8"))
    cutters = _parts(settings.get("pre_tokenizer"), "pretokenizers")
    normalizers = [one["type"] for one in _parts(settings.get("normalizer"), "normalizers")]
    is_byte_level = settings["model"]["type"] == "BPE" and any(one["type"] == "ByteLevel" for one in cutters)
    if not is_byte_level or not all(map(_keeps_every_byte, cutters)) or set(normalizers) - {"NFC"}:
        return None
    return 3 if normalizers else 1


def _parts(settings: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The steps of a normalizer or a pre-tokenizer, be it one or a sequence."""
    if settings is None:
        return []
    return list(settings[name]) if settings["type"] == "Sequence" else [settings]


def _keeps_every_byte(cutter: Mapping[str, Any]) -> bool:
    """Whether a step of pre-tokenization neither adds nor removes anything."""
    kind = cutter["type"]
    if kind == "ByteLevel":
        return not cutter.get("add_prefix_space", True)
    return kind == "Digits" or (kind == "Split" and cutter.get("behavior") != "Removed")


@cache
def _counter(model: ResolvedModel) -> CountTokensFn:
    """From the tokenizer's own file where the model has one: transformers would load torch into every worker."""
    file = Path(model.path) / TOKENIZER_FILE
    return _counts_by_file(file) if file.is_file() else _counts_by_transformers(model.path)


def _counts_by_file(file: Path) -> CountTokensFn:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [len(found.ids) for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _counts_by_transformers(folder: str) -> CountTokensFn:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda texts: [
        len(ids) for ids in tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    ]
