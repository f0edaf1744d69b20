"""The evaluator `judge`: a language model compares the tuned model's answers with the baseline's.

Knows rows and answers, and no training. Source: LLM-AutoDP, section 6.1 (3), for what a judge weighs.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from autodp_ray.evaluators.base import AnswerScores, CountingCompleter, Evaluator, EvaluatorResources, Role, S
from autodp_ray.evaluators.revision import revision_of
from autodp_ray.statistics import ItemScores
from operators.contract.resources import CompletionRequest, Language
from operators.llm.prompting import Prompt, TemplateValue, recent_turns, template_texts
from operators.llm.row_completion import PromptRow, iter_rows, request_seed
from operators.replies.parsing import parse_object

JUDGE_PROMPT = "judge_answers"
MAX_HISTORY_CHARS = 2000
ABSTENTIONS, EQUAL_ANSWERS = "judge_abstentions", "judge_equal_answers"
VERDICTS = ("judge_wins", "judge_losses", "judge_ties", ABSTENTIONS, EQUAL_ANSWERS)
"""What results count of comparisons; those of equal answers, which no judge is asked about, are among the ties."""


class JudgeEvaluator(Evaluator):
    """The score r is wins minus losses of the tuned model's answers against the baseline's, as `models.judge`
    decides."""

    needs_answers: ClassVar[bool] = True
    compares: ClassVar[bool] = True
    roles: ClassVar[tuple[Role, ...]] = ("judge",)
    num_completions: ClassVar[int] = 2
    unit: ClassVar[str] = "of (wins − losses) / comparisons"
    note: ClassVar[str] = (
        "An LLM judge compares the answers of the tuned model with the baseline's, in both orders. What it prefers is "
        "that model's taste, and length and tone sway it; an abstention counts as a comparison that nobody won."
    )
    meaning: ClassVar[Mapping[Language, str]] = {
        "en": "r is a judge's wins minus losses against the model trained on unprocessed data, between -1 and 1",
        "zh": "r 是评审模型判定的胜场减负场（对手是用原始数据训练的模型），取值在 -1 到 1 之间",
    }

    name: Literal["judge"] = "judge"

    def build(self, resources: EvaluatorResources[S]) -> S:
        model = resources.models["judge"]
        grader = JudgeGrader(
            completer=model.completer,
            language=resources.language,
            domain=resources.domain,
            max_tokens=model.max_tokens,
            settings=model.settings,
            seed=resources.seed,
        )
        return resources.by_answers(grader)


def abstained_frac(counts: Mapping[str, int]) -> float | None:
    """The share of a judge's replies that name no winner; None where it was asked nothing."""
    wins, losses, ties, abstentions, equal = (counts.get(name, 0) for name in VERDICTS)
    asked = wins + losses + ties + abstentions - equal
    return abstentions / asked if asked else None


class _Verdict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    better: Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeGrader:
    """A language model says which of two answers is better, in both orders; r = (wins - losses) over 2N comparisons.

    Equal answers tie without being shown. A reply that names no winner is an abstention, and counts as a comparison.
    """

    completer: CountingCompleter
    language: str
    domain: str
    max_tokens: int
    """Of a reply, thinking included."""
    settings: str
    """What tells its model from others where that declares no revision."""
    seed: int = 0

    @property
    def compares(self) -> bool:
        return JudgeEvaluator.compares

    @property
    def revision(self) -> str:
        model = self.completer.revision or self.settings
        return revision_of(model, *template_texts(JUDGE_PROMPT), self.language, self.domain, self.max_tokens)

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
        num_equal = 2 * (len(found) - len(differ))
        counts: Counter[str] = Counter({"judge_ties": num_equal, EQUAL_ANSWERS: num_equal})
        for place, verdict in enumerate(verdicts):
            is_first = place < len(differ)
            if verdict is None or verdict.better == "tie":
                counts[ABSTENTIONS if verdict is None else "judge_ties"] += 1
                continue
            counts[f"judge_{verdict.better}"] += 1
            won = (verdict.better == "first") == is_first
            counts["judge_wins" if won else "judge_losses"] += 1
            margins[differ[place % len(differ)]] += 1.0 if won else -1.0
        items = ItemScores(
            ids=tuple(row.id for row in found), numerators=tuple(margins), denominators=(2.0,) * len(found)
        )
        return AnswerScores(items=items, counts={**counts, **completer.usage().counts()})

    def _request(self, prompt: Prompt, row: PromptRow, first: str, second: str) -> CompletionRequest:
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
