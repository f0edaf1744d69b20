"""The operator contract: a frozen spec that builds a function on Arrow batches.

Specs know their parameters, needs and fingerprint. They know no Ray and no cluster: models reach them through the small
protocols in resources.py. `actors/data/recipe_runner.py` is what runs them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar, Protocol

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from operators.contract.code_version import code_version, is_ours
from operators.contract.counts import Transformed
from operators.contract.digest import json_digest
from operators.contract.exchange import PartitionedTransform
from operators.contract.resources import Language, Resources

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
    """What a worker must hold to run an operator, and what it lends to it; nothing else is lent."""

    cpus: float = 0.0
    """CPUs that its worker reserves; never fewer than `pool.num_cpus_per_worker`."""
    gpus: float = 0.0
    """GPUs that its worker reserves; above 0, all parts run on actors that keep what they load."""
    own_model: bool = False
    """Whether `build` loads a model of the operator's own; many parts then run on actors, which keep it."""
    completer: bool = False
    embedder: bool = False
    tokenizer: bool = False
    influence: bool = False
    language: bool = False
    """Whether its results depend on the language and domain of the dataset; with a completer they always do."""
    content_columns: bool = False
    """Whether its results depend on which columns carry content (`Resources.content_columns`)."""
    known_rows: bool = False
    """Whether it compares rows with those of an index, where one is given (`Resources.known_rows`)."""
    shots: int = 0
    """How many few-shot rows of the operator's own input dataset it wants (`Resources.shots`)."""

    @property
    def models(self) -> bool:
        """Whether it works with a model, its own or an endpoint's."""
        return self.own_model or self.completer or self.embedder or self.influence

    @property
    def of_hardware(self) -> Needs:
        """The CPUs and GPUs alone."""
        return Needs(cpus=self.cpus, gpus=self.gpus)


RowTransform = Callable[[pa.Table], Transformed]
"""Rows in, rows and counts by reason out."""


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

    def apply(self, batch: pa.Table, decision: Decision) -> Transformed:
        """The decision carried out on one batch, with counts by reason."""


class Operator(BaseModel):
    """A frozen, validated, hashable spec of one operation on records.

    It is a `RowOperator`, a `DatasetOperator` or a `PartitionedOperator`.
    """

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
    """Random seed for what the operator draws or asks a model for."""

    @classmethod
    def is_targeted(cls) -> bool:
        """Whether the rows that a screener finds clean pass by this operator."""
        return cls.scope is Scope.ROW if cls.targeted is None else cls.targeted

    def prompt_texts(self) -> tuple[str, ...]:
        """Every prompt text that shapes the output; part of the fingerprint."""
        return ()

    def summary(self, language: Language) -> str:
        """What it does as it is configured, in a clause without a full stop: the agent's prompt is made of them.

        Without one of its own, the first sentence of the class's docstring, in whatever language that is.
        """
        del language
        first = re.split(r"(?<=[.。])\s|\n\n", inspect.getdoc(type(self)) or self.name)[0]
        return " ".join(first.split()).rstrip(".。")

    def fingerprint(self) -> str:
        """sha256 over version, the canonical JSON of every parameter and every prompt text.

        For an operator of another package also over the version of its code.
        """
        body = {"version": self.version, "spec": self.model_dump(mode="json"), "prompts": self.prompt_texts()}
        if not is_ours(type(self)):
            body["code"] = code_version(type(self))
        return json_digest(body)


class RowOperator(Operator):
    """An operator that may see the rows in any batches."""

    scope: ClassVar[Scope] = Scope.ROW

    def build(self, resources: Resources) -> RowTransform:
        """The function on batches; heavy imports and model loading happen here, not at module import.

        A worker process calls it once and uses what it returns for every part and pass, as long as the resources are
        equal: so the function keeps no state from one batch to the next.
        """
        raise TypeError(f"{type(self).__name__} does not say how it is built")


class DatasetOperator(Operator):
    """An operator that must see all rows before it decides."""

    scope: ClassVar[Scope] = Scope.DATASET

    def build(self, resources: Resources) -> DatasetTransform:
        """The three parts, built under the same rules as a `RowOperator`'s function."""
        raise TypeError(f"{type(self).__name__} does not say how it is built")


class PartitionedOperator(Operator):
    """An operator that must see all rows before it decides, of which no process may hold all sketches."""

    scope: ClassVar[Scope] = Scope.DATASET

    def known_by(self, resources: Resources) -> Mapping[str, object]:
        """What the sketches of an index must have in common with its own, in plain values that JSON keeps."""
        del resources
        return {"operator": self.name, "fingerprint": self.fingerprint()}

    def build(self, resources: Resources) -> PartitionedTransform:
        """The three parts, built under the same rules as a `RowOperator`'s function."""
        raise TypeError(f"{type(self).__name__} does not say how it is built")
