"""The evaluator `reference`: how similar a tuned model's answers are to the held-out ones. Asks no language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from autodp_ray.evaluators.base import AnswerScores, Evaluator, EvaluatorResources, S
from autodp_ray.evaluators.revision import revision_of
from autodp_ray.statistics import ItemScores
from operators.contract.resources import Embedder, Language
from operators.llm.row_completion import iter_rows
from operators.texts.text import split_units


class ReferenceEvaluator(Evaluator):
    """The score r is the similarity of the tuned model's answers to the held-out ones, by embeddings and ROUGE-L."""

    needs_answers: ClassVar[bool] = True
    needs_embedder: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("sentence_transformers",)
    unit: ClassVar[str] = "points of similarity to the reference"
    note: ClassVar[str] = (
        "The reference evaluator measures how similar the tuned model's answers are to the held-out references. A good "
        "answer in other words scores low."
    )
    meaning: ClassVar[Mapping[Language, str]] = {
        "en": "r is the similarity of the model's answers to held-out reference answers",
        "zh": "r 是模型答案与预留的参考答案的相似度",
    }

    name: Literal["reference"] = "reference"

    def build(self, resources: EvaluatorResources[S]) -> S:
        return resources.by_answers(ReferenceGrader(embedder=resources.embedder()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceGrader:
    """How like the reference an answer is: the mean of their embeddings' cosine and of ROUGE-L's F-measure."""

    embedder: Embedder

    @property
    def compares(self) -> bool:
        return ReferenceEvaluator.compares

    @property
    def revision(self) -> str:
        return revision_of(self.embedder.revision)

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
    from rapidfuzz.distance import LCSseq

    left, right = split_units(reference), split_units(answer)
    common = LCSseq.similarity(left, right)
    return 2 * common / (len(left) + len(right)) if common else 0.0
