"""Records as token sequences for fine-tuning: the model's chat template, loss on answers alone.

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

from actors.models.chat_forms import Chat, chat_of, forms_of, is_said
from actors.models.chat_tokens import ChatTokens
from actors.training.recipe import LossOn
from operators.rows.conversation import Message, carries_loss, messages_of
from operators.rows.record import hash_order

ROWS_PER_CALL = 1024
"""Rows that are Python objects at a time on their way to tokens."""

Span = tuple[int, int]
"""Where a part of a sequence starts, and where it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row as tokens; those from `num_prompt` on are the answer, which carries loss."""

    row_id: str
    tokens: array[int]
    """Four bytes a token, where a tuple of numbers takes forty."""
    num_prompt: int
    earlier: tuple[Span, ...] = ()
    """The answers of earlier turns that carry loss too."""

    @property
    def num_answer(self) -> int:
        """Tokens that carry loss."""
        return len(self.tokens) - self.num_prompt + sum(end - start for start, end in self.earlier)

    @property
    def spans(self) -> tuple[Span, ...]:
        """All parts that carry loss; none starts the sequence, whose first token nothing predicts."""
        return (*self.earlier, (self.num_prompt, len(self.tokens)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """The rows that can be trained on, and what became of the others."""

    examples: tuple[Example, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows without an example, by reason: `no_question`, `no_answer`, `weight_0`, `no_room`, `template`."""
    num_truncated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedRow:
    """A row as the template wrote it: a text without loss, a text with loss, and so on; the last is the answer."""

    row_id: str
    texts: tuple[str, ...]


class ChatEncoder:
    """Encodes record tables with one tokenizer and one maximum length.

    An assistant's turn with the weight 0 carries no loss; what follows the last one that does is left out. A text of a
    row is never read as a control token. Tools come from the column `tools`, where a table has it.
    """

    def __init__(self, tokenizer: Any, *, max_length: int, loss_on: LossOn = "last") -> None:  # noqa: ANN401 - a transformers tokenizer
        self._tokenizer = tokenizer
        self._chat = ChatTokens(tokenizer)
        self._max_length = max_length
        self._loss_on = loss_on
        self._eos: str | None = tokenizer.eos_token

    def encode(self, table: pa.Table) -> EncodedRows:
        """Examples in the table's row order."""
        left_out: Counter[str] = Counter()
        examples: list[Example] = []
        num_truncated = 0
        for batch in table.to_batches(max_chunksize=ROWS_PER_CALL):
            for row_id, pieces in self._tokenized(batch, left_out):
                example = _fitted(row_id, pieces, max_length=self._max_length)
                num_truncated += len(example.tokens) < sum(map(len, pieces))
                examples.append(example)
        return EncodedRows(examples=tuple(examples), left_out=dict(left_out), num_truncated=num_truncated)

    def _tokenized(self, batch: pa.RecordBatch, left_out: Counter[str]) -> Iterator[tuple[str, list[list[int]]]]:
        """(id, tokens of each text) of the rows that have a question and an answer; counts the others."""
        rows = list(self._rendered(batch, left_out))
        tokens = iter(self._chat.tokenize([text for row in rows for text in row.texts]))
        for row in rows:
            pieces = [next(tokens) for _ in row.texts]
            if pieces[0] and pieces[-1]:
                yield row.row_id, pieces
            else:
                left_out["no_room"] += 1

    def _rendered(self, batch: pa.RecordBatch, left_out: Counter[str]) -> Iterator[RenderedRow]:
        names = ["id", "history", "question", "answer", *(["tools"] if "tools" in batch.schema.names else [])]
        for row in batch.select(names).to_pylist():
            messages = _to_last_with_loss(messages_of(row["history"], row["question"], row["answer"]))
            reason = _missing(row["question"], messages)
            texts = None if reason else self._texts(self._chat.escape(messages), self._chat.escape(row.get("tools")))
            if texts is None:
                left_out[reason or "template"] += 1
            else:
                yield RenderedRow(row_id=row["id"], texts=texts)

    def _texts(self, messages: list[Message], tools: object) -> tuple[str, ...] | None:
        """The texts of a row, or None where the template takes it in no form."""
        chat = chat_of(messages, tools)
        for form in forms_of(chat):
            try:
                texts = self._split(form) if self._tokenizer.chat_template else self._plain_lines(form)
            except TemplateError:
                continue
            if is_said(form, "".join(texts)):
                return texts
        return None

    def _plain_lines(self, chat: Chat) -> tuple[str, ...]:
        """The turns of a model without a chat template, one a line."""
        texts = [""]
        for message in chat.messages:
            is_answer = message["role"] == "assistant"
            end = (self._eos or "") if is_answer else ""
            texts[-1] += f"{message['role']}: "
            if is_answer and carries_loss(message) and (self._loss_on == "all" or message is chat.messages[-1]):
                texts += [message["content"] + end, "\n"]
            else:
                texts[-1] += message["content"] + "\n"
        return tuple(texts[:-1])

    def _split(self, chat: Chat) -> tuple[str, ...]:
        """The text before each answer that carries loss, and the answer up to the token that ends it."""
        prompt, answer = self._last_answer(chat)
        if self._loss_on == "last":
            return prompt, answer
        texts: list[str] = []
        start = 0
        for at, message in enumerate(chat.messages[:-1]):
            is_learnt = message["role"] == "assistant" and carries_loss(message)
            if is_learnt and (span := self._span(chat, at, prompt)) is not None:
                texts += [prompt[start : span[0]], prompt[span[0] : span[1]]]
                start = span[1]
        return (*texts, prompt[start:], answer)

    def _last_answer(self, chat: Chat) -> tuple[str, str]:
        prompt = self._template(chat, len(chat.messages) - 1, asks=True)
        whole = self._template(chat, len(chat.messages))
        answer = chat.messages[-1]
        rest = whole[len(prompt) :] if whole.startswith(prompt) else answer["content"] + (self._eos or "")
        return prompt, self._ended(rest)

    def _span(self, chat: Chat, at: int, prompt: str) -> Span | None:
        """Where an earlier answer stands in the prompt; None where the template writes it otherwise once it is past."""
        before = self._template(chat, at, asks=True)
        after = self._template(chat, at + 1)
        if not (after.startswith(before) and before):
            return None
        written = before + self._ended(after[len(before) :])
        return (len(before), len(written)) if prompt.startswith(written) else None

    def _ended(self, text: str) -> str:
        return text[: text.rindex(self._eos) + len(self._eos)] if self._eos and self._eos in text else text

    def _template(self, chat: Chat, num_messages: int, *, asks: bool = False) -> str:
        options = {"tools": list(chat.tools)} if chat.tools else {}
        messages = list(chat.messages[:num_messages])
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks, **options))


def _to_last_with_loss(messages: list[Message]) -> list[Message]:
    """The messages up to the last answer that carries loss; none where no answer does."""
    while messages and not (messages[-1]["role"] == "assistant" and carries_loss(messages[-1])):
        messages.pop()
    return messages


def _missing(question: str | None, messages: Sequence[Message]) -> str | None:
    if not (question or "").strip():
        return "no_question"
    if not messages:
        return "weight_0"
    answer = messages[-1]
    return None if (answer["content"] or "").strip() or answer.get("tool_calls") else "no_answer"


def _fitted(row_id: str, pieces: Sequence[Sequence[int]], *, max_length: int) -> Example:
    """The example of a row's pieces, cut to `max_length` tokens."""
    whole = [token for piece in pieces[:-1] for token in piece]
    prompt, answer = fit(whole, pieces[-1], max_length=max_length)
    cut = len(whole) - len(prompt)
    ends = np.cumsum([len(piece) for piece in pieces]) - cut
    earlier = [(max(int(ends[at - 1]), 1), int(ends[at])) for at in range(1, len(pieces) - 1, 2)]
    return Example(
        row_id=row_id,
        tokens=array("i", (*prompt, *answer)),
        num_prompt=len(prompt),
        earlier=tuple(span for span in earlier if span[0] < span[1]),
    )


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
    return hash_order(ids, seed=seed, salt=f"epoch {epoch}")
