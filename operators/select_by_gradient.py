"""Keeps the rows whose training gradients point where the guide rows' gradients point.

Knows which rows are kept; how a row is scored lies behind the `InfluenceScorer` protocol, which is made from the same
spec (actors/gradients/influence.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from operators.contract.counts import Transformed, keep_rows
from operators.contract.operator import DatasetOperator, Decision, Needs
from operators.contract.resources import InfluenceScorer, Language, Resources

SCORE_REQUESTED = "gradients:requested"
SCORE_EXECUTED = "gradients:executed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredIds:
    """Ids and influence of N rows; NaN where a row has no score."""

    ids: pa.Array
    values: np.ndarray
    num_computed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LowInfluence:
    """Ids of the rows that go."""

    ids: pa.Array


class SelectByGradient(DatasetOperator):
    """Keeps the top `keep_frac` of the rows that have an influence score; ties go to the lower id.

    A row that cannot be scored because it is incomplete is no part of the ranking and stays: it is left out, and
    counted, where the model is trained. Source: LESS (arXiv 2402.04333), sections 3 and 4. All parameters but
    `keep_frac` shape the score, and the run's scorer is made from them.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(influence=True)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()
    targeted: ClassVar[bool | None] = True

    name: Literal["select_by_gradient"] = "select_by_gradient"
    keep_frac: float = Field(default=0.5, gt=0, le=1)
    """The share of the scored rows that is kept."""
    warmup_frac: float = Field(default=0.05, gt=0, le=1)
    """The share of the run's raw sample that warms the adapters up; it is never less than one batch."""
    num_checkpoints: int = Field(default=4, ge=1)
    """How often the warm-up passes over its rows; each pass ends in a checkpoint that rows are scored at."""
    momentum: bool = False
    """Whether Adam's running mean is folded into each training gradient (the way of LESS); else Adam only scales it."""
    projection: Literal["countsketch", "rademacher"] = "countsketch"
    """How gradients are projected. `rademacher` is the dense reference: the same accuracy, thousands of times the
    work."""
    projection_dim: int = Field(default=8192, ge=64)
    """How many numbers a gradient is sketched in; it is a power of two."""
    guide_column: str | None = None
    """The column that names each guide row's group; a row counts by its best group. null puts all guide rows into one
    group."""

    @field_validator("projection_dim")
    @classmethod
    def _is_a_power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"projection_dim {value} is no power of two; use 8192, or another one")
        return value

    def summary(self, language: Language) -> str:
        return (
            f"keeps the {self.keep_frac:.0%} of rows whose gradients help the model most on the target questions and "
            "drops the rest; it improves no text and leaves fewer rows"
            if language == "en"
            else f"依据梯度信息保留对目标问题最有帮助的 {self.keep_frac:.0%} 样本，其余删除；它不修改文本，样本数会变少"
        )

    def build(self, resources: Resources) -> GradientSelection:
        scorer = resources.influence
        if scorer is None:
            raise ValueError("select_by_gradient needs Resources.influence, got None; lend it the run's scorer")
        return GradientSelection(scorer=scorer, keep_frac=self.keep_frac)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSelection:
    """The three parts of the operator."""

    scorer: InfluenceScorer
    keep_frac: float

    def sketch(self, batch: pa.Table) -> ScoredIds:
        scores = self.scorer.score(batch)
        ids = batch["id"].combine_chunks().cast(pa.large_string())
        return ScoredIds(ids=ids, values=scores.values, num_computed=scores.num_computed)

    def decide(self, sketches: Sequence[object]) -> Decision:
        parts = [part for part in sketches if isinstance(part, ScoredIds)]
        ids = pa.chunked_array([part.ids for part in parts], pa.large_string()).combine_chunks()
        values = np.concatenate([np.empty(0), *(part.values for part in parts)])
        scored = ~np.isnan(values)
        counts = {
            SCORE_REQUESTED: int(scored.sum()),
            SCORE_EXECUTED: sum(part.num_computed for part in parts),
        }
        ranked = ranking(ids.filter(pa.array(scored)), values[scored])
        gone = ranked[math.ceil(self.keep_frac * len(ranked)) :]
        return Decision(state=LowInfluence(ids=gone.sort()), counts={key: num for key, num in counts.items() if num})

    def apply(self, batch: pa.Table, decision: Decision) -> Transformed:
        low = decision.state
        if not isinstance(low, LowInfluence):
            raise TypeError(
                f"select_by_gradient got a decision of {type(low).__name__}; give it what its own decide returned"
            )
        ids = batch["id"].combine_chunks().cast(pa.large_string())
        return keep_rows(batch, {"low_influence": pc.is_in(ids, value_set=low.ids).to_numpy(zero_copy_only=False)})


def ranking(ids: pa.Array, values: np.ndarray) -> pa.Array:
    """The ids from the highest value to the lowest; equal values in the order of their ids."""
    ranks = pc.rank(ids, tiebreaker="first").to_numpy()
    return ids.take(pa.array(np.lexsort((ranks, -values))))
