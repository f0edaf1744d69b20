"""What a worker lends to an operator: models behind small protocols, few-shot rows, and facts about the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One chat completion: (role, content) messages and how to decode."""

    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    json_schema: str | None = None
    """JSON text of a schema for guided decoding, or None for free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A received reply. Only one that ends with "stop" is whole."""

    text: str
    finish_reason: str = "stop"
    """"stop"; "length" where it was cut, be it in the middle of a character, or the request is too long; "filtered"
    where the endpoint does not want the text, which is then empty; "unknown" where the endpoint does not say."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


@runtime_checkable
class Completer(Protocol):
    """Completes chats. One reply per request, in order; a fault raises `EndpointError`, it never becomes a reply."""

    @property
    def revision(self) -> str: ...

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]: ...


@runtime_checkable
class Tokenizer(Protocol):
    """Counts tokens as the tuned model will see them, without special tokens."""

    @property
    def revision(self) -> str: ...

    @property
    def max_tokens_per_byte(self) -> int | None:
        """Tokens that a text has at most for each of its UTF-8 bytes; it then has one at least, unless it is empty.

        None where nothing is known.
        """

    def count(self, texts: Sequence[str]) -> list[int]: ...


@runtime_checkable
class Embedder(Protocol):
    """Embeds texts as unit-norm float32 [N, D]."""

    @property
    def revision(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> pa.FixedSizeListArray: ...


@runtime_checkable
class Screener(Protocol):
    """F(x): which rows need work. Source: LLM-AutoDP, section 3.3.2."""

    @property
    def revision(self) -> str:
        """Digest of everything that a verdict depends on beside the row."""

    def needs_work(self, table: pa.Table) -> np.ndarray:
        """bool [N], True = needs work; a row without question or answer always does.

        Raises: EndpointError where a call failed; it must not count as "needs work".
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluenceScores:
    """How much training on each of N rows is expected to help on the guide rows."""

    values: np.ndarray
    """float64 [N]; NaN for rows that cannot be trained on, such as incomplete ones."""
    num_computed: int
    """Rows whose gradients were computed now; those of the others were remembered, or they have none."""


@runtime_checkable
class InfluenceScorer(Protocol):
    """Scores rows by their influence on the run's guide rows; a row's score depends on nothing but its content."""

    @property
    def revision(self) -> str: ...

    def score(self, table: pa.Table) -> InfluenceScores: ...


@runtime_checkable
class KnownRows(Protocol):
    """Rows that earlier work kept, as sketches that rows are compared by; those that are kept now join them.

    Picklable: tasks read and write the parts.
    """

    @property
    def revision(self) -> str:
        """Digest of what is known, and of whose rows are going to join."""

    @property
    def num_parts(self) -> int: ...

    @property
    def part_bytes(self) -> int:
        """Of the largest part."""

    def read(self, number: int) -> pa.Table:
        """One part."""

    def keep(self, number: int, table: pa.Table) -> object:
        """Write the sketches of what is kept of a part with new rows; a small note for `close`."""

    def close(self, notes: Sequence[object]) -> None:
        """All that is kept is written; a part without new rows has None for a note.

        It is known to later work once the rows themselves are where they belong.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the worker lends to an operator; an operator gets what its `needs` name, the rest is None."""

    completer: Completer | None = None
    embedder: Embedder | None = None
    tokenizer: Tokenizer | None = None
    influence: InfluenceScorer | None = None
    screener: Screener | None = None
    """Of the run, not lent to operators: with it, teams work on the rows alone that need it (progressive target
    selection), and `Operator.targeted` says which operators see the others too."""
    shots: pa.Table | None = None
    """Complete rows with the lowest hash(seed, id) of the operator's input dataset, in hash order."""
    known_rows: KnownRows | None = None
    """Of an index that is given with the dataset: its rows were kept before those of the dataset."""
    language: Language = "en"
    domain: str = "general"
    content_columns: Literal["auto"] | tuple[str, ...] = "auto"
    """The columns beside the record that carry content: by the rule of `operators.rows.content_columns`, or by name."""
