"""An operator with what its worker lends it, built once per process.

Ray hands a worker process a fresh copy of a job for every part. What an operator built from an equal copy of its
resources is kept here, so one that loads a model loads it once, not for every part or pass.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ray import cloudpickle

from actors.data.usage_counts import used_by
from operators.contract.exchange import PartitionedTransform
from operators.contract.operator import (
    DatasetOperator,
    DatasetTransform,
    Needs,
    PartitionedOperator,
    RowOperator,
    RowTransform,
)
from operators.contract.resources import Resources

T = TypeVar("T")
AnyScope = TypeVar("AnyScope", bound=RowOperator | DatasetOperator | PartitionedOperator)

MAX_BUILT = 16
"""Operators of each scope that a process keeps built; each holds what it was built with, such as a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built(Generic[T]):
    """What an operator built, and the resources that it works with, which keep the books of their use."""

    transform: T
    resources: Resources

    @contextmanager
    def counted(self, counts: Counter[str]) -> Iterator[T]:
        """Adds to `counts` what is asked of the models while the transform is at work."""
        with used_by(self.resources, counts):
            yield self.transform


@dataclass(frozen=True, slots=True, kw_only=True)
class LentOperator(Generic[AnyScope]):
    """An operator and what its `needs` name; picklable."""

    operator: AnyScope
    resources: Resources
    digest: str
    """Of the class and the resources: where they differ, a process builds anew."""
    is_targeted: bool
    """Whether rows that a screener found clean pass by the operator."""

    @classmethod
    def of(cls, operator: AnyScope, resources: Resources) -> LentOperator[AnyScope]:
        """The operator with those of the resources that it needs."""
        lent = lent_resources(operator.needs, resources)
        return cls(
            operator=operator,
            resources=lent,
            digest=hashlib.sha256(cloudpickle.dumps((type(operator), lent))).hexdigest(),
            is_targeted=resources.screener is not None and operator.is_targeted(),
        )

    @property
    def key(self) -> str:
        """Which operator it is, with its settings."""
        return f"{type(self.operator).__module__}:{type(self.operator).__qualname__}:{self.operator.fingerprint()}"


def built_rows(lent: LentOperator[RowOperator]) -> Built[RowTransform]:
    """What the operator builds; a process that built it before from equal resources builds nothing."""

    def build() -> Built[RowTransform]:
        return Built(transform=lent.operator.build(lent.resources), resources=lent.resources)

    return _ROW_TRANSFORMS.get(lent.key, lent.digest, build)


def built_parts(lent: LentOperator[DatasetOperator]) -> Built[DatasetTransform]:
    """The same for an operator that sees the whole dataset."""

    def build() -> Built[DatasetTransform]:
        return Built(transform=lent.operator.build(lent.resources), resources=lent.resources)

    return _DATASET_TRANSFORMS.get(lent.key, lent.digest, build)


def built_partitioned(lent: LentOperator[PartitionedOperator]) -> Built[PartitionedTransform]:
    """The same for an operator whose decision is an exchange."""

    def build() -> Built[PartitionedTransform]:
        return Built(transform=lent.operator.build(lent.resources), resources=lent.resources)

    return _PARTITIONED_TRANSFORMS.get(lent.key, lent.digest, build)


def lent_resources(needs: Needs, resources: Resources) -> Resources:
    """The resources without what an operator does not declare, so that nothing reaches it that its keys do not name."""
    plain = Resources()
    speaks = needs.completer or needs.language
    return replace(
        resources,
        completer=resources.completer if needs.completer else None,
        embedder=resources.embedder if needs.embedder else None,
        tokenizer=resources.tokenizer if needs.tokenizer else None,
        influence=resources.influence if needs.influence else None,
        shots=resources.shots if needs.shots else None,
        known_rows=resources.known_rows if needs.known_rows else None,
        screener=None,
        language=resources.language if speaks else plain.language,
        domain=resources.domain if speaks else plain.domain,
        content_columns=resources.content_columns if needs.content_columns else plain.content_columns,
    )


class LastBuilt(Generic[T]):
    """The values that were used last, one per key; a value of another digest takes the place of the old one.

    So an operator whose resources change from pass to pass, such as few-shot rows, never holds two models.
    """

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._values: OrderedDict[str, tuple[str, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, digest: str, build: Callable[[], T]) -> T:
        """The value of the key and digest, built where there is none; one thread builds at a time."""
        with self._lock:
            found = self._values.pop(key, None)
            if found is None or found[0] != digest:
                found = None  # what the old value holds is let go before the new one is built
                while len(self._values) >= self._max_values:
                    self._values.popitem(last=False)
                found = (digest, build())
            self._values[key] = found
            return found[1]


_ROW_TRANSFORMS: LastBuilt[Built[RowTransform]] = LastBuilt(MAX_BUILT)
_DATASET_TRANSFORMS: LastBuilt[Built[DatasetTransform]] = LastBuilt(MAX_BUILT)
_PARTITIONED_TRANSFORMS: LastBuilt[Built[PartitionedTransform]] = LastBuilt(MAX_BUILT)
