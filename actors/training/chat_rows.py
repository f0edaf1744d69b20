"""Records as token sequences for fine-tuning: the model's chat template, loss on the answer alone.

Knows the record and a tokenizer with a chat template; knows no model and no batch.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import TemplateError

from operators.record import row_hashes

ROWS_PER_CALL = 1024
"""Rows that are Python objects at a time on their way to tokens."""

Message = dict[str, str]
"""A chat message in the form that chat templates take: `role` and `content`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row as tokens; those from `num_prompt` on are the answer, and only they carry loss."""

    row_id: str
    tokens: array[int]
    """Four bytes a token, where a tuple of numbers takes forty."""
    num_prompt: int

    @property
    def num_answer(self) -> int:
        return len(self.tokens) - self.num_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """The rows that can be trained on, and what became of the others."""

    examples: tuple[Example, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows without an example, by reason: `no_question`, `no_answer`, `no_room`, `template`."""
    num_truncated: int = 0


class ChatEncoder:
    """Encodes record tables with one tokenizer and one maximum length."""

    def __init__(self, tokenizer: Any, *, max_length: int) -> None:  # noqa: ANN401 - a transformers tokenizer
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._eos: str | None = tokenizer.eos_token

    def encode(self, table: pa.Table) -> EncodedRows:
        """Examples in the table's row order."""
        left_out: Counter[str] = Counter()
        examples: list[Example] = []
        num_truncated = 0
        for batch in table.to_batches(max_chunksize=ROWS_PER_CALL):
            for row_id, prompt, answer in self._tokenized(batch, left_out):
                kept_prompt, kept_answer = fit(prompt, answer, max_length=self._max_length)
                num_truncated += len(kept_prompt) + len(kept_answer) < len(prompt) + len(answer)
                tokens = array("i", (*kept_prompt, *kept_answer))
                examples.append(Example(row_id=row_id, tokens=tokens, num_prompt=len(kept_prompt)))
        return EncodedRows(examples=tuple(examples), left_out=dict(left_out), num_truncated=num_truncated)

    def _tokenized(self, batch: pa.RecordBatch, left_out: Counter[str]) -> Iterator[tuple[str, list[int], list[int]]]:
        """(id, prompt, answer) of the rows that have both; counts the others."""
        ids: list[str] = []
        parts: list[tuple[str, str]] = []
        for row in batch.select(["id", "history", "question", "answer"]).to_pylist():
            reason = _missing_field(row)
            rendered = None if reason else self._render(row)
            if rendered is None:
                left_out[reason or "template"] += 1
                continue
            ids.append(row["id"])
            parts.append(rendered)
        prompts = self._tokenize([prompt for prompt, _ in parts])
        answers = self._tokenize([answer for _, answer in parts])
        for row_id, prompt, answer in zip(ids, prompts, answers, strict=True):
            if prompt and answer:
                yield row_id, prompt, answer
            else:
                left_out["no_room"] += 1

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []

    def _render(self, row: Mapping[str, Any]) -> tuple[str, str] | None:
        """(prompt text, answer text) of a row, or None where the template takes it in no form."""
        messages = [_message(turn) for turn in row["history"] or () if turn["content"]]
        messages.append({"role": "user", "content": row["question"]})
        if self._tokenizer.chat_template is None:
            lines = [f"{message['role']}: {message['content']}\n" for message in messages]
            return "".join(lines) + "assistant: ", row["answer"] + (self._eos or "")
        for form in (messages, without_system(messages), merged_turns(without_system(messages))):
            try:
                return self._split(form, row["answer"])
            except TemplateError:
                continue
        return None

    def _split(self, messages: list[Message], answer: str) -> tuple[str, str]:
        """The text up to the answer, and the answer up to the token that ends it."""
        template = self._tokenizer.apply_chat_template
        prompt: str = template(messages, tokenize=False, add_generation_prompt=True)
        whole: str = template([*messages, {"role": "assistant", "content": answer}], tokenize=False)
        rest = whole[len(prompt) :] if whole.startswith(prompt) else answer + (self._eos or "")
        if self._eos and self._eos in rest:
            rest = rest[: rest.rindex(self._eos) + len(self._eos)]
        return prompt, rest


def _missing_field(row: Mapping[str, Any]) -> str | None:
    if not (row["question"] or "").strip():
        return "no_question"
    return None if (row["answer"] or "").strip() else "no_answer"


def _message(turn: Mapping[str, str]) -> Message:
    return {"role": turn["role"], "content": turn["content"]}


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The messages with system text put in front of the turn after it, for templates that know no system role."""
    kept: list[Message] = []
    waiting = ""
    for message in messages:
        if message["role"] == "system":
            waiting += message["content"] + "\n\n"
        else:
            kept.append({"role": message["role"], "content": waiting + message["content"]})
            waiting = ""
    return kept


def merged_turns(messages: Sequence[Message]) -> list[Message]:
    """Neighbouring turns of one role joined and no assistant turn first, for templates that want roles to alternate."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1] = {"role": message["role"], "content": merged[-1]["content"] + "\n\n" + message["content"]}
        elif merged or message["role"] != "assistant":
            merged.append(message)
    return merged


def fit(prompt: Sequence[int], answer: Sequence[int], *, max_length: int) -> tuple[Sequence[int], Sequence[int]]:
    """Prompt and answer cut to `max_length` tokens together.

    The answer has a right to half of the room, and to what the prompt leaves; it loses its tail. The prompt loses its
    left end, for what stands next to the answer matters most.
    """
    room = max(max_length - max_length // 2, max_length - len(prompt))
    answer = answer[:room]
    prompt = prompt[max(0, len(prompt) + len(answer) - max_length) :]
    return prompt, answer


def training_order(ids: Sequence[str], *, seed: int, epoch: int) -> np.ndarray:
    """Positions [N] of the rows in the order of one epoch: a function of the ids and the seed alone."""
    hashes = row_hashes(ids, seed=seed, salt=f"epoch {epoch}")
    return np.lexsort((np.asarray(ids, dtype=str), hashes))
