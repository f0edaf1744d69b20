"""The stop rule `target`: the best score is as high as was wanted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autodp_ray.search.proposal import Feedback, StopReason
from autodp_ray.search.stop_rules.base import StopInputs, StopRuleSpec
from operators.contract.family import Member


class Target(Member, StopRuleSpec):
    """Ends a search when a strategy has reached a score."""

    stops = StopReason(name="target", words="a strategy reached the score that was wanted")

    name: Literal["target"] = "target"
    score: float = Field(gt=0)
    """The gain over the unprocessed data that is enough, in the evaluator's unit."""

    def build(self, inputs: StopInputs) -> Target:
        return self

    def reason(self, feedback: Feedback) -> StopReason | None:
        best = feedback.best
        return self.stops if best is not None and best.score is not None and best.score >= self.score else None
