"""What every evaluator says of itself, and what a run gives it to build its scoring from.

An evaluator is settings and words: it starts nothing and reads no row until a run builds its scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import pyarrow as pa

from actors.llm.usage import Usage
from autodp_ray.statistics import ItemScores
from operators.contract.family import Member
from operators.contract.resources import Completer, Embedder, Language

Role = Literal["operators", "judge"]
"""A chat model of `models` that reads rows."""
S = TypeVar("S")
"""What scores trainings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScores:
    """Scores of one model's answers, and what it took."""

    items: ItemScores
    counts: Mapping[str, int] = field(default_factory=dict)


class AnswerGrader(Protocol):
    """Turns answers into scores. Safe to call from many threads."""

    @property
    def revision(self) -> str:
        """Digest of what a score depends on beside rows and answers: no two graders of a run share it."""

    @property
    def compares(self) -> bool:
        """Whether answers are scored against the baseline's."""

    def score(self, rows: pa.Table, answers: Sequence[str], rivals: Sequence[str]) -> AnswerScores:
        """Scores of the answers [N] to the rows [N]; `rivals` are the baseline's answers, empty unless it compares.

        Raises: EndpointError where a model cannot be reached; a failed call is never a score.
        """


class CountingCompleter(Completer, Protocol):
    """A completer that counts what it is asked; a copy counts for itself."""

    def usage(self) -> Usage: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorModel:
    """A chat model and how long its replies may be, thinking included."""

    completer: CountingCompleter
    max_tokens: int
    settings: str
    """All that the config says of it: what tells models apart that declare no revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorResources(Generic[S]):
    """What a run gives an evaluator to score with."""

    by_losses: S
    """Scores a training by its held-out losses, which every training measures."""
    by_answers: Callable[[AnswerGrader], S]
    """What scores a training by its model's answers, as the grader says."""
    models: Mapping[Role, EvaluatorModel]
    """The chat models of the evaluator's `roles`."""
    embedder: Callable[[], Embedder]
    """Opens the embedder; for an evaluator that says `needs_embedder`."""
    language: str
    domain: str
    seed: int


class Evaluator(Member):
    """A frozen spec of how trainings are scored. A member is a subclass in a file of its own, named in registry.py."""

    needs_answers: ClassVar[bool]
    """Whether tuned models write answers to the held-out questions."""
    compares: ClassVar[bool] = False
    """Whether answers are scored against the baseline's."""
    roles: ClassVar[tuple[Role, ...]] = ()
    """The chat models that it asks."""
    num_completions: ClassVar[int] = 0
    """Completions that it asks of them for one answer."""
    needs_embedder: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()
    """Modules beyond a run's own that the driver must have."""

    unit: ClassVar[str]
    """Of its scores, in the report."""
    note: ClassVar[str]
    """What the report says of its limits."""
    meaning: ClassVar[Mapping[Language, str]]
    """What r is, in the words of the agent's prompt in each language."""

    def build(self, resources: EvaluatorResources[S]) -> S:
        """What scores the trainings of a run."""
        raise TypeError(f"{type(self).__name__} does not say how it is built")

    @classmethod
    def in_other_words(cls, score: float) -> str:
        """A sentence for the report that tells a score on the test set in another unit; empty where there is none."""
        return ""
