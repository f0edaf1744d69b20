"""Scripted stand-ins for what a worker lends to operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from operators.contract.resources import Completion, CompletionRequest, InfluenceScores
from operators.rows.record import is_complete


class FakeTokenizer:
    """Counts words as tokens."""

    revision = "fake-words"

    max_tokens_per_byte: int | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class FakeCompleter:
    """Answers each request by a function and remembers what it was asked."""

    revision = "fake-completer"

    def __init__(self, reply: Callable[[CompletionRequest], Completion | str]) -> None:
        self._reply = reply
        self.requests: list[CompletionRequest] = []

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        self.requests.extend(requests)
        replies = [self._reply(request) for request in requests]
        return [Completion(text=reply) if isinstance(reply, str) else reply for reply in replies]


class FakeScorer:
    """Scores complete rows by a hash of question and answer, or by a given function of them."""

    revision = "fake-influence"

    def __init__(self, influence: Callable[[str, str], float] | None = None) -> None:
        self._influence = influence or _hashed

    def score(self, table: pa.Table) -> InfluenceScores:
        complete = is_complete(table).to_numpy(zero_copy_only=False)
        pairs = zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True)
        values = [self._influence(*pair) if whole else np.nan for pair, whole in zip(pairs, complete, strict=True)]
        return InfluenceScores(values=np.array(values, dtype=np.float64), num_computed=int(complete.sum()))


class FakeScreener:
    """A row needs work where its question holds a mark or a field is null."""

    revision = "fake-screener"

    def __init__(self, mark: str = "!") -> None:
        self._mark = mark

    def needs_work(self, table: pa.Table) -> np.ndarray:
        questions = pc.fill_null(table["question"], self._mark)
        wanted = pc.or_(pc.match_substring(questions, self._mark), pc.is_null(table["answer"]))
        return np.asarray(wanted.to_numpy(), dtype=bool)


def _hashed(question: str, answer: str) -> float:
    return xxhash.xxh3_64_intdigest(f"{question}\x1f{answer}".encode()) / 2**64
