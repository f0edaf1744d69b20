"""Drops rows that are too short or too long for the model that is tuned.

Knows tokens only through the `Tokenizer` protocol.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from operators.contract.counts import Transformed, keep_rows
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Language, Resources, Tokenizer
from operators.rows.record import has_texts

CountFn = Callable[[pa.Array], Sequence[int] | np.ndarray]
"""Says of each of T texts, none of them null, how many of something it has [T]."""

COUNTED_KEYS = frozenset({"tool_calls", "reasoning_content"})
"""Further keys of a turn that chat templates write into the text; an image is none."""


class TokenCount(RowOperator):
    """Keeps rows whose number of tokens lies in [min_tokens, max_tokens].

    Counts question, answer and every turn before them, each tokenized on its own, without special tokens, labels or
    chat template; of a turn's further keys, its tool calls and its reasoning. What is missing counts nothing;
    `min_tokens` is judged on rows with both texts only, since a missing one may still be generated, and a call of a
    tool needs none.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(tokenizer=True)
    reads: ClassVar[tuple[str, ...]] = ("history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["token_count"] = "token_count"
    min_tokens: int = Field(default=1, ge=0)
    """The smallest number of tokens of a row with both texts."""
    max_tokens: int = Field(default=2048, ge=1)
    """The largest number of tokens of any row."""

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens {self.min_tokens} is above max_tokens {self.max_tokens}; swap them")
        return self

    def summary(self, language: Language) -> str:
        return (
            f"drops rows that are too short or too long (under {self.min_tokens} or over {self.max_tokens} tokens)"
            if language == "en"
            else f"删除过短或过长（少于 {self.min_tokens} 或多于 {self.max_tokens} 个词元）的样本"
        )

    def build(self, resources: Resources) -> RowTransform:
        tokenizer = resources.tokenizer
        if tokenizer is None:
            raise ValueError("token_count needs Resources.tokenizer, got None; lend it the tuned model's tokenizer")
        return lambda table: self._filter(table, tokenizer)

    def _filter(self, table: pa.Table, tokenizer: Tokenizer) -> Transformed:
        complete = has_texts(table).to_numpy(zero_copy_only=False)
        open_rows = np.flatnonzero(self._may_fail(table, complete, tokenizer.max_tokens_per_byte))
        totals = np.full(table.num_rows, self.min_tokens, dtype=np.int64)  # what others have is not asked
        totals[open_rows] = _row_totals(table.take(open_rows), lambda texts: tokenizer.count(texts.to_pylist()))
        drops = {
            "token_count_below_min": (totals < self.min_tokens) & complete,
            "token_count_above_max": totals > self.max_tokens,
        }
        return keep_rows(table, drops)

    def _may_fail(self, table: pa.Table, complete: np.ndarray, max_tokens_per_byte: int | None) -> np.ndarray:
        """Mask [N] of the rows whose texts must be tokenized, since their sizes alone do not say that they are kept."""
        if max_tokens_per_byte is None:
            return np.ones(table.num_rows, dtype=bool)
        most = _row_totals(table, _num_bytes) * max_tokens_per_byte
        least = _row_totals(table, _is_filled)
        mask: np.ndarray = (most > self.max_tokens) | ((least < self.min_tokens) & complete)
        return mask


def _counted_keys(extras: pa.Array) -> pa.Array:
    """The tool calls and the reasoning among the further keys of each turn, as text; null where it has neither."""
    texts: list[str | None] = [None] * len(extras)
    for at, extra in enumerate(extras.to_pylist()):
        found = [value for key, value in json.loads(extra).items() if key in COUNTED_KEYS] if extra else []
        if found:
            texts[at] = " ".join(value if isinstance(value, str) else json.dumps(value) for value in found)
    return pa.array(texts, pa.string())


def _row_totals(table: pa.Table, count: CountFn) -> np.ndarray:
    """The sum, int64 [N], of a count over all texts of each row."""
    totals = np.zeros(table.num_rows, dtype=np.int64)
    rows = np.arange(table.num_rows, dtype=np.int64)
    for field in ("question", "answer"):
        _add_counts(totals, rows, table[field].combine_chunks(), count)
    history = table["history"].combine_chunks()
    owners = pc.list_parent_indices(history).to_numpy(zero_copy_only=False)
    turns = history.flatten()
    _add_counts(totals, owners, turns.field("content"), count)
    if turns.type.get_field_index("extra") >= 0:
        _add_counts(totals, owners, _counted_keys(turns.field("extra")), count)
    return totals


def _add_counts(totals: np.ndarray, owners: np.ndarray, texts: pa.Array, count: CountFn) -> None:
    """Adds each present text's count to the total of the row that owns it."""
    present = pc.is_valid(texts).to_numpy(zero_copy_only=False)
    np.add.at(totals, owners[present], np.asarray(count(texts.drop_null()), dtype=np.int64))


def _num_bytes(texts: pa.Array) -> np.ndarray:
    sizes: np.ndarray = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    return sizes


def _is_filled(texts: pa.Array) -> np.ndarray:
    return _num_bytes(texts) > 0
