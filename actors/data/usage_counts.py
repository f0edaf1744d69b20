"""What was asked of the models of a process while some work was done, as counts by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from operators.contract.resources import Resources


class _Counted(Protocol):
    def counts(self) -> dict[str, int]: ...


@runtime_checkable
class Metered(Protocol):
    """A model, such as a chat client, that keeps books: `usage().counts()` says by name what it has done so far."""

    def usage(self) -> _Counted: ...


@contextmanager
def added_to(counts: Counter[str], books: Callable[[], Mapping[str, int]]) -> Iterator[None]:
    """Adds to `counts` what the books grow by meanwhile."""
    before = Counter(books())
    yield
    counts.update(+(Counter(books()) - before))


@contextmanager
def used_by(resources: Resources, counts: Counter[str]) -> Iterator[None]:
    """Adds to `counts` what is asked of lent models meanwhile."""
    with added_to(counts, lambda: Counter(books_of(resources.completer)) + Counter(books_of(resources.embedder))):
        yield


def books_of(model: object) -> dict[str, int]:
    """What a model has done in this process so far; empty where it does not count its calls."""
    return model.usage().counts() if isinstance(model, Metered) else {}
