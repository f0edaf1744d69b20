"""Counts tokens with a model's own tokenizer; loaded once per process, when it is first asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from actors.models.source import ResolvedModel

TOKENIZER_FILE = "tokenizer.json"

CountFn = Callable[[list[str]], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTokenizer:
    """Implements the contract's `Tokenizer`. Plain data until it counts, so it travels to workers as it is."""

    model: ResolvedModel

    @property
    def revision(self) -> str:
        """What identifies its vocabulary."""
        return self.model.revision

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        return _counter(self.model)(list(texts)) if texts else []


@cache
def _counter(model: ResolvedModel) -> CountFn:
    """From the tokenizer's own file where the model has one: transformers would load torch into every worker."""
    file = Path(model.path) / TOKENIZER_FILE
    return _counts_by_file(file) if file.is_file() else _counts_by_transformers(model.path)


def _counts_by_file(file: Path) -> CountFn:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda texts: [len(found.ids) for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _counts_by_transformers(folder: str) -> CountFn:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda texts: [
        len(ids) for ids in tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    ]
