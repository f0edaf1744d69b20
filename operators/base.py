"""The operator contract: a frozen spec that builds a function on Arrow batches.

Specs know their parameters, needs and fingerprint. They know no Ray and no cluster: models reach them through the small
protocols in `Resources`. `actors/batch_worker.py` is what runs them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

MAX_SEED = 2**31 - 1
"""What every generator of random numbers takes, those in C too, with room for the seeds counted up from it."""


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
"""Of random draws, as a setting."""


class Scope(StrEnum):
    """ROW operators see any batch of rows; DATASET operators must see all rows before they decide."""

    ROW = "row"
    DATASET = "dataset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a worker must hold to run an operator."""

    cpus: float = 1.0
    gpus: float = 0.0
    completer: bool = False
    embedder: bool = False
    tokenizer: bool = False
    screener: bool = False
    influence: bool = False
    content_columns: bool = False
    """Whether its results depend on which columns carry content (`Resources.content_columns`)."""
    shots: int = 0
    """How many few-shot rows of the operator's own input dataset it wants (`Resources.shots`)."""

    @property
    def models(self) -> bool:
        """Whether it works with a model, its own or an endpoint's."""
        return self.completer or self.embedder or self.screener or self.influence


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

        Raises: EndpointError where no verdict could be had; a fault is never a verdict.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the worker lends to an operator; an operator gets what its `needs` name, the rest is None."""

    completer: Completer | None = None
    embedder: Embedder | None = None
    tokenizer: Tokenizer | None = None
    influence: InfluenceScorer | None = None
    screener: Screener | None = None
    """Lent where teams work on the rows that need it alone (progressive target selection); None = they see all."""
    shots: pa.Table | None = None
    """Complete rows with the lowest hash(seed, id) of the operator's input dataset, in hash order."""
    language: Literal["en", "zh"] = "en"
    domain: str = "general"
    content_columns: Literal["auto"] | tuple[str, ...] = "auto"
    """The columns beside the record that carry content: by the rule of operators/content_columns.py, or by name."""


RowTransform = Callable[[pa.Table], pa.Table]
"""Rows in, rows out, with counts by reason in the schema metadata (see `with_counts`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a DATASET operator concluded from all sketches."""

    state: object = None
    """Whatever `apply` needs; picklable and small against the data."""
    appended: pa.Table | None = None
    """New rows that join the dataset; they do not pass through `apply`."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Counts by reason that belong to no single batch."""


class DatasetTransform(Protocol):
    """The three pure parts of a DATASET operator."""

    def sketch(self, batch: pa.Table) -> object:
        """A small summary of one batch, of any class that pickles.

        Storage holds no pickle: numpy arrays without objects, Arrow arrays and tables in a sketch, also inside
        dataclasses, tuples, lists and dicts, go to a file as plain data; whatever else it holds goes through Ray, so
        that must be small. A dataclass comes back with its fields set and its `__init__` not run.
        """

    def decide(self, sketches: Sequence[object]) -> Decision:
        """The one decision over the whole dataset; independent of the order and the cut of the batches."""

    def apply(self, batch: pa.Table, decision: Decision) -> pa.Table:
        """The decision carried out on one batch, with counts by reason."""


Transform = RowTransform | DatasetTransform


class Operator(BaseModel):
    """A frozen, validated, hashable spec of one operation on records."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    version: ClassVar[int]
    needs: ClassVar[Needs]
    scope: ClassVar[Scope]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[tuple[str, ...]]
    targeted: ClassVar[bool | None] = None
    """Whether, with a screener, only rows that need work are shown to it; None: yes for ROW, no for DATASET scope."""

    name: str
    """Which operator it is."""
    seed: Seed = 0
    """Of whatever the operator draws or asks a model for."""

    @classmethod
    def is_targeted(cls) -> bool:
        """Whether the rows that a screener finds clean pass by this operator."""
        return cls.scope is Scope.ROW if cls.targeted is None else cls.targeted

    def build(self, resources: Resources) -> Transform:
        """The function on batches; heavy imports and model loading happen here, not at module import."""
        raise TypeError(f"{type(self).__name__} does not say how it is built")

    def prompt_texts(self) -> tuple[str, ...]:
        """Every prompt text that shapes the output; part of the fingerprint."""
        return ()

    def fingerprint(self) -> str:
        """sha256 over version, the canonical JSON of every parameter and every prompt text."""
        body = {"version": self.version, "spec": self.model_dump(mode="json"), "prompts": self.prompt_texts()}
        text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


_COUNTS_KEY = b"autodp.counts"


def with_counts(table: pa.Table, counts: Mapping[str, int]) -> pa.Table:
    """The table with counts by reason (zeros left out) in its schema metadata, added to those already there."""
    total = Counter(counts_of(table))
    total.update({reason: count for reason, count in counts.items() if count})
    metadata = dict(table.schema.metadata or {})
    metadata.pop(_COUNTS_KEY, None)
    if total:
        metadata[_COUNTS_KEY] = json.dumps(dict(sorted(total.items()))).encode()
    return table.replace_schema_metadata(metadata or None)


def counts_of(table: pa.Table) -> dict[str, int]:
    """Counts by reason that `with_counts` left in the schema metadata.

    Reasons of dropped rows start with `dropped:`, of rejected rewrites with `rejected:`; other prefixes are free.
    """
    raw = (table.schema.metadata or {}).get(_COUNTS_KEY)
    return {} if raw is None else dict(json.loads(raw))


def keep_rows(table: pa.Table, drops: Mapping[str, np.ndarray]) -> pa.Table:
    """The rows that no mask in `drops` marks, counted as `dropped:<reason>` under the first reason that marks them."""
    gone = np.zeros(table.num_rows, dtype=bool)
    counts: dict[str, int] = {}
    for reason, mask in drops.items():
        marked = np.asarray(mask, dtype=bool) & ~gone
        counts[f"dropped:{reason}"] = int(marked.sum())
        gone |= marked
    return with_counts(table.filter(pa.array(~gone)), counts)
