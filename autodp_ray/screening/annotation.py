"""Labels by an LLM: a score from 1 to 5 for every row, an even sample over the scores, a verdict for each sampled row.

Source: LLM-AutoDP, section 3.3.1. A reply that cannot be read labels nothing: its row is left out and counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from autodp_ray.screening.rows import CLEAN
from operators.contract.resources import Completer, CompletionRequest
from operators.llm.prompting import Prompt, pair_json, recent_turns
from operators.llm.row_completion import PromptRow, iter_rows, request_seed
from operators.replies.parsing import ReplyT, parse_object
from operators.rows.record import row_hashes

SCORE_PROMPT, ANNOTATE_PROMPT = "screen_score", "screen_annotate"
SCORES = (1, 2, 3, 4, 5)
UNNAMED = "unnamed"
"""The kind of a defect that the model sees but does not name."""
MAX_HISTORY_CHARS = 2000
REPLY_TOKENS = 64
_STEP_ROWS = 512

ProgressFn = Callable[[int, int], None]


class _Score(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    score: int = Field(ge=1, le=5)


class _Verdict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    defect: Literal[
        "none", "noise", "repetition", "incomplete", "irrelevant", "incorrect", "unsafe", "unclear"
    ]  # in the order in which it is written: naming the defect first makes the verdict follow from it
    verdict: Literal["clean", "needs_work"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotator:
    """Asks a model about rows in one language and domain."""

    completer: Completer
    language: Literal["en", "zh"]
    domain: str
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter, compare=False)
    """Rows by score and by verdict, and replies that could not be read."""

    def annotate(self, table: pa.Table, *, rows_per_score: int, on_progress: ProgressFn) -> tuple[pa.Table, list[str]]:
        """The sampled rows that got a verdict, and the kind of defect of each, CLEAN where there is none.

        Raises: EndpointError where the model cannot be reached.
        """
        scores = self._ask(table, SCORE_PROMPT, _Score, on_progress)
        sampled = even_sample(
            table["id"].to_pylist(),
            [None if score is None else score.score for score in scores],
            rows_per_score=rows_per_score,
            seed=self.seed,
        )
        rows = table.take(pa.array(sampled, pa.int64()))
        verdicts = self._ask(rows, ANNOTATE_PROMPT, _Verdict, on_progress)
        self.counts.update(f"score:{score.score}" for score in scores if score is not None)
        self.counts.update(f"verdict:{one.verdict}" for one in verdicts if one is not None)
        return rows.filter(pa.array([one is not None for one in verdicts])), [_kind(one) for one in verdicts if one]

    def _ask(self, table: pa.Table, name: str, schema: type[ReplyT], on_progress: ProgressFn) -> list[ReplyT | None]:
        prompt = Prompt(name=name, language=self.language, domain=self.domain)
        found: list[ReplyT | None] = []
        for rows in _steps(list(iter_rows(table))):
            replies = self.completer.complete([self._request(prompt, row, schema) for row in rows])
            found += [parse_object(reply.text, schema) for reply in replies]
            on_progress(len(found), table.num_rows)
        self.counts[f"unreadable:{name}"] += found.count(None)
        return found

    def _request(self, prompt: Prompt, row: PromptRow, schema: type[BaseModel]) -> CompletionRequest:
        history = recent_turns(row.history, max_chars=MAX_HISTORY_CHARS)
        return CompletionRequest(
            messages=prompt.messages({"pair": pair_json(row.question or "", row.answer or ""), "history": history}),
            max_tokens=REPLY_TOKENS,
            seed=request_seed(row.id, seed=self.seed, salt=prompt.name),
            json_schema=json.dumps(schema.model_json_schema()),
        )


def even_sample(ids: Sequence[str], scores: Sequence[int | None], *, rows_per_score: int, seed: int) -> list[int]:
    """Rows in ascending order: of each score the same number, chosen by hash, at most `rows_per_score`.

    A score that few rows have gives all of them; the others are not cut down to that.
    """
    hashes = row_hashes(ids, seed=seed, salt="screener/scores")
    chosen: list[int] = []
    for score in SCORES:
        rows = [row for row, one in enumerate(scores) if one == score]
        chosen += sorted(rows, key=lambda row: (hashes[row], ids[row]))[:rows_per_score]
    return sorted(chosen)


def _steps(rows: Sequence[PromptRow]) -> Iterator[Sequence[PromptRow]]:
    for start in range(0, len(rows), _STEP_ROWS):
        yield rows[start : start + _STEP_ROWS]


def _kind(verdict: _Verdict) -> str:
    """The verdict decides; a defect that is named beside the verdict "clean" is none."""
    if verdict.verdict == "clean":
        return CLEAN
    return UNNAMED if verdict.defect == "none" else verdict.defect
