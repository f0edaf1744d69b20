"""Asks a language model once about each row that wants it, and writes accepted replies into the rows.

A row's request and the reading of its reply depend on that row alone, so results do not depend on batches. All requests
of a batch go out in one call, so that the client can run them side by side. Faults of the endpoint pass through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from operators.contract.counts import Transformed
from operators.contract.resources import Completer, Completion, CompletionRequest
from operators.replies.guards import Verdict, asks_something
from operators.rows.conversation import calls_a_tool, turns_to_show
from operators.rows.record import row_hashes

PromptTurn = Mapping[str, str]
Fields = Mapping[str, str]
"""New texts by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """The parts of a record that prompts are made of."""

    id: str
    history: tuple[PromptTurn, ...]
    question: str | None
    answer: str | None
    answers_by_call: bool = False
    """Whether the answer is a tool call, which needs no text."""

    def texts(self) -> tuple[str, ...]:
        """All texts of the row."""
        return (*(turn["content"] for turn in self.history), self.question or "", self.answer or "")


class RowTask(Protocol):
    """What is asked about a row, and what its reply means."""

    @property
    def accepted(self) -> str:
        """The reason that a changed row is counted under."""

    def passes(self, row: PromptRow) -> str | None:
        """Why the row is left alone, the empty text where that is not worth a count; None to ask about it."""

    def request(self, row: PromptRow) -> CompletionRequest:
        """The request about a row."""

    def read(self, row: PromptRow, reply: Completion) -> Fields | Verdict:
        """The new texts, empty where the reply changes nothing, or why the reply is rejected."""


def complete_rows(table: pa.Table, task: RowTask, *, completer: Completer) -> Transformed:
    """The rows with accepted replies written into them under the origin "optimized".

    "optimized" also marks a row whose gap was filled: "generated" is for rows that the source did not have, under ids
    of their own.

    Raises: EndpointError where the endpoint failed; then no row is judged.
    """
    asked: list[tuple[int, PromptRow]] = []
    counts: Counter[str] = Counter()
    for position, row in enumerate(iter_rows(table)):
        reason = task.passes(row)
        if reason is None:
            asked.append((position, row))
        elif reason:
            counts[reason] += 1
    replies = completer.complete([task.request(row) for _, row in asked]) if asked else []
    changes: dict[int, Fields] = {}
    for (position, row), reply in zip(asked, replies, strict=True):
        outcome = task.read(row, reply)
        if isinstance(outcome, Verdict):
            counts[f"rejected:{outcome}"] += 1
        elif outcome:
            changes[position] = {**outcome, "origin": "optimized"}
            counts[task.accepted] += 1
        else:
            counts["unchanged"] += 1
    return Transformed(table=_write(table, changes), counts=counts)


def iter_rows(table: pa.Table) -> Iterator[PromptRow]:
    """The rows of a table, with the turns that prompts show."""
    columns = (table[name].to_pylist() for name in ("id", "history", "question", "answer"))
    for row_id, history, question, answer in zip(*columns, strict=True):
        yield PromptRow(
            id=row_id,
            history=tuple(turns_to_show(history, question)),
            question=question,
            answer=answer,
            answers_by_call=answer is None and calls_a_tool(history),
        )


def request_seed(row_id: str, *, seed: int, salt: str) -> int:
    """A 31-bit seed for decoding, from the operator's seed and the row."""
    return int(row_hashes([row_id], seed=seed, salt=salt)[0]) & 0x7FFFFFFF


def usable_shots(shots: pa.Table | None, *, k: int, max_chars: int) -> Sequence[PromptRow]:
    """The first k shots that are short enough to be shown; none where there are no shots."""
    rows = () if shots is None else iter_rows(shots)
    return [row for row in rows if sum(map(len, row.texts())) <= max_chars][:k]


def mostly_ask(shots: Sequence[PromptRow]) -> bool:
    """Whether more than half of the shots' questions are questions and not, say, instructions."""
    return sum(asks_something(shot.question or "") for shot in shots) * 2 > len(shots)


def _write(table: pa.Table, changes: Mapping[int, Fields]) -> pa.Table:
    for column in dict.fromkeys(name for fields in changes.values() for name in fields):
        values = table[column].to_pylist()
        for position, fields in changes.items():
            values[position] = fields.get(column, values[position])
        number = table.schema.get_field_index(column)
        field = table.schema.field(number)
        table = table.set_column(number, field, pa.chunked_array([pa.array(values, field.type)]))
    return table
