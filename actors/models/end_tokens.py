"""The tokens that end a reply, wherever they are declared."""

from __future__ import annotations

from collections.abc import Sequence


def end_tokens(*declared: int | Sequence[int] | None) -> frozenset[int]:
    """Every end token that the model or its tokenizer declares."""
    tokens: set[int] = set()
    for item in declared:
        tokens.update(() if item is None else [item] if isinstance(item, int) else item)
    return frozenset(tokens)
