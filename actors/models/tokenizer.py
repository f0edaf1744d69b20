"""Counts tokens with a model's own tokenizer; loaded once per process, when it is first asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from actors.models.source import ResolvedModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTokenizer:
    """Implements `operators.base.Tokenizer`. Plain data until it counts, so it travels to workers as it is."""

    model: ResolvedModel

    @property
    def revision(self) -> str:
        """What identifies its vocabulary."""
        return self.model.revision

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        if not texts:
            return []
        encoded = _load(self.model)(list(texts), add_special_tokens=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]


@cache
def _load(model: ResolvedModel) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model.path)
