"""Scores a tuned model by what it answers to held-out questions: by a judge's comparisons, or by the reference answers.

Knows rows and answers, and no training. Source: LLM-AutoDP, section 6.1 (3), for what a judge weighs.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from rapidfuzz.distance import LCSseq

from actors.llm.usage import Usage
from autodp_ray.statistics import ItemScores
from operators.contract.resources import Completer, CompletionRequest, Embedder
from operators.llm.prompting import Prompt, TemplateValue, recent_turns, template_texts
from operators.llm.row_completion import Row, iter_rows, request_seed
from operators.replies.parsing import parse_object
from operators.texts.text import split_units

JUDGE_PROMPT = "judge_answers"
MAX_HISTORY_CHARS = 2000
SCORE_VERSION = 2
"""Changes when equal answers get other scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScores:
    """Scores of one model's answers, and what it took."""

    items: ItemScores
    counts: Mapping[str, int] = field(default_factory=dict)


class AnswerEvaluator(Protocol):
    """Turns answers into scores. Safe to call from many threads."""

    @property
    def revision(self) -> str:
        """Digest of what a score depends on beside rows and answers; empty where its model declares no revision."""

    @property
    def compares(self) -> bool:
        """Whether answers are scored against the baseline's."""

    def score(self, rows: pa.Table, answers: Sequence[str], rivals: Sequence[str]) -> AnswerScores:
        """Scores of the answers [N] to the rows [N]; `rivals` are the baseline's answers, empty unless it compares.

        Raises: EndpointError where a model cannot be reached; a fault is never a verdict.
        """


class CountingCompleter(Completer, Protocol):
    """A completer that counts what it is asked; a copy counts for itself."""

    def usage(self) -> Usage: ...


class _Verdict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    better: Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeEvaluator:
    """A language model says which of two answers is better, in both orders; r = (wins - losses) over 2N comparisons.

    Equal answers tie without being shown. A reply that names no winner is an abstention, and counts as a comparison.
    """

    completer: CountingCompleter
    language: str
    domain: str
    max_tokens: int
    """Of a reply, thinking included."""
    seed: int = 0

    @property
    def compares(self) -> bool:
        return True

    @property
    def revision(self) -> str:
        if not self.completer.revision:
            return ""
        settings = [self.language, self.domain, self.max_tokens]
        return _sha256(SCORE_VERSION, self.completer.revision, *template_texts(JUDGE_PROMPT), *settings)

    def score(self, rows: pa.Table, answers: Sequence[str], rivals: Sequence[str]) -> AnswerScores:
        prompt = Prompt(name=JUDGE_PROMPT, language=self.language, domain=self.domain)
        found = list(iter_rows(rows))
        differ = [at for at in range(len(found)) if answers[at] != rivals[at]]
        requests = [self._request(prompt, found[at], answers[at], rivals[at]) for at in differ]
        requests += [self._request(prompt, found[at], rivals[at], answers[at]) for at in differ]
        completer = copy.copy(self.completer)
        replies = completer.complete(requests) if requests else []
        verdicts = [parse_object(reply.text, _Verdict) for reply in replies]
        margins = [0.0] * len(found)
        counts: Counter[str] = Counter({"judge_ties": 2 * (len(found) - len(differ))})
        for place, verdict in enumerate(verdicts):
            is_first = place < len(differ)
            if verdict is None or verdict.better == "tie":
                counts["judge_abstentions" if verdict is None else "judge_ties"] += 1
                continue
            won = (verdict.better == "first") == is_first
            counts["judge_wins" if won else "judge_losses"] += 1
            margins[differ[place % len(differ)]] += 1.0 if won else -1.0
        items = ItemScores(
            ids=tuple(row.id for row in found), numerators=tuple(margins), denominators=(2.0,) * len(found)
        )
        return AnswerScores(items=items, counts={**counts, **completer.usage().counts()})

    def _request(self, prompt: Prompt, row: Row, first: str, second: str) -> CompletionRequest:
        history = recent_turns(row.history, max_chars=MAX_HISTORY_CHARS)
        fields: dict[str, TemplateValue] = {
            "history": history,
            "question": row.question or "",
            "first": first,
            "second": second,
        }
        return CompletionRequest(
            messages=prompt.messages(fields),
            max_tokens=self.max_tokens,
            seed=request_seed(row.id, seed=self.seed, salt=JUDGE_PROMPT),
            json_schema=json.dumps(_Verdict.model_json_schema()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceEvaluator:
    """How like the reference an answer is: the mean of their embeddings' cosine and of ROUGE-L's F-measure."""

    embedder: Embedder

    @property
    def compares(self) -> bool:
        return False

    @property
    def revision(self) -> str:
        return _sha256(SCORE_VERSION, self.embedder.revision)

    def score(self, rows: pa.Table, answers: Sequence[str], rivals: Sequence[str]) -> AnswerScores:
        references = [row.answer or "" for row in iter_rows(rows)]
        vectors = self.embedder.embed([*answers, *references]).flatten().to_numpy().reshape(2, len(references), -1)
        cosines = (vectors[0] * vectors[1]).sum(axis=1)
        overlaps = [rouge_l(reference, answer) for reference, answer in zip(references, answers, strict=True)]
        values = [float(cosine + overlap) / 2 for cosine, overlap in zip(cosines, overlaps, strict=True)]
        return AnswerScores(items=ItemScores.of_values(rows["id"].to_pylist(), values))


def rouge_l(reference: str, answer: str) -> float:
    """F-measure of ROUGE-L, over words, and over characters of scripts that put no spaces between words.

    By rapidfuzz: the package rouge-score knows no script but Latin, and compares word with word in Python.
    """
    left, right = split_units(reference), split_units(answer)
    common = LCSseq.similarity(left, right)
    return 2 * common / (len(left) + len(right)) if common else 0.0


def _sha256(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
