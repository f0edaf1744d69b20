"""What goes into a training and what comes out: plain data that crosses processes.

Knows no torch, so that a driver can order trainings without loading it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pyarrow as pa

from actors.models.source import ResolvedModel
from actors.training.recipe import TrainingRecipe
from operators.contract.errors import AutoDPError, InputError
from operators.rows.record import RECORD_SCHEMA

TrainingRows: TypeAlias = pa.Table | tuple[str, ...]
"""A record table, or paths of Arrow IPC files that hold one."""


ANSWER_VERSION = 1
"""Changes when equal models give other answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """One training with its evaluation.

    `train` None evaluates the model as it is. `export_folder` receives the adapter (LoRA) or the whole model (full)
    with its tokenizer. With a `checkpoint_folder` a training that broke off goes on there. Both are URIs, or paths that
    every worker sees.
    """

    model: ResolvedModel
    recipe: TrainingRecipe
    seed: int
    train: TrainingRows | None
    evaluation: Mapping[str, TrainingRows] = field(default_factory=dict)
    export_folder: str | None = None
    checkpoint_folder: str | None = None
    max_answer_tokens: int | None = None
    """The model also answers the evaluation rows, each in at most so many tokens; None: it answers none."""
    remembers: bool = True
    """Whether what the frozen layers made of a row in earlier trainings may be used."""
    label: str = ""
    """What people know the training by; nothing is computed from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """How far a training is: optimizer steps of its fit, or held-out rows that are scored or answered."""

    done: int
    total: int
    unit: Literal["steps", "rows"]


OnAdvance = Callable[[Advance], None]


def unseen(advance: Advance) -> None:
    """For those who show nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemLosses:
    """Losses of an evaluation set, item by item in the order of the rows; left-out rows are not among them."""

    ids: tuple[str, ...]
    nll_sums: tuple[float, ...]
    """Sum over the answer's tokens of the negative log-likelihood, in nats."""
    num_tokens: tuple[int, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    num_truncated: int = 0

    def mean_nll(self) -> float:
        """Mean over all answer tokens, in nats.

        Raises:
            InputError: no item has a token to score.
        """
        total = sum(self.num_tokens)
        if total == 0:
            raise InputError(f"no answer to score among the evaluation rows; left out: {dict(self.left_out)}")
        return sum(self.nll_sums) / total


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """What a training gave. `seconds` by phase: load, encode, train, evaluate, answer, export."""

    evaluation: Mapping[str, ItemLosses]
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each evaluation set, in the order of its losses; where the job asks for answers."""
    num_rows: int
    num_steps: int
    left_out: Mapping[str, int]
    num_truncated: int
    train_losses: tuple[float, ...]
    """Mean token NLL of each optimizer step's batch, before the step."""
    seconds: Mapping[str, float]


def read_rows(rows: TrainingRows) -> pa.Table:
    """The table itself, or the one that lies in the files, in their order."""
    if isinstance(rows, pa.Table):
        return rows
    tables = []
    for path in rows:
        with pa.memory_map(path) as source, pa.ipc.open_file(source) as reader:
            tables.append(reader.read_all())
    return pa.concat_tables(tables) if tables else RECORD_SCHEMA.empty_table()


QUOTE_LENGTH = 16
"""A message that shares this many characters in a row with a dataset quotes it."""
SHORTEST_QUOTE = 4
"""A field shorter than this says nothing by standing in a message."""
SEARCHED_BYTES = 32 << 20
"""Rows of at most this size are searched for what a message says: all their text, once for each of its characters."""


def row_free_message(error: BaseException, tables: Sequence[pa.Table]) -> str:
    """Type and message of an error; the place that raised it instead of a message that quotes a row, or may.

    Messages of our own errors hold no row text; those of others are not looked for in more than SEARCHED_BYTES.
    """
    message = str(error)
    if sum(table.nbytes for table in tables) <= SEARCHED_BYTES:
        why = "it quotes a row" if _quotes(message, [part for table in tables for part in _texts(table)]) else None
    else:
        why = None if isinstance(error, AutoDPError) else "it may quote one of these many rows"
    if why is None:
        return f"{type(error).__name__}: {message}"
    place = "".join(f" at {frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-1:])
    return f"{type(error).__name__}{place} (its message is left out: {why})"


def _quotes(message: str, parts: Sequence[str]) -> bool:
    """Whether the message holds a short field as a whole, or a stretch of a longer one."""
    if any(SHORTEST_QUOTE <= len(part) < QUOTE_LENGTH and part in message for part in parts):
        return True
    text = "\x00".join(parts)
    starts = range(len(message) - QUOTE_LENGTH + 1)
    return any(message[at : at + QUOTE_LENGTH] in text for at in starts)


def _texts(table: pa.Table) -> Iterator[str]:
    for name in ("question", "answer"):
        yield from (text for text in table[name].to_pylist() if text)
    for turns in table["history"].to_pylist():
        yield from (turn["content"] for turn in turns or () if turn["content"])
