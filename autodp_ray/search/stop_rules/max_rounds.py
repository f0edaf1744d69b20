"""The stop rule that every search has: no more rounds than `search.max_rounds`."""

from __future__ import annotations

from pydantic import Field

from autodp_ray.search.proposal import Feedback, StopReason
from autodp_ray.search.stop_rules.base import StopInputs, StopRuleSpec


class MaxRounds(StopRuleSpec):
    """Ends a search after a number of rounds."""

    stops = StopReason(name="max_rounds", words="all rounds were used")

    rounds: int = Field(ge=1)

    def build(self, inputs: StopInputs) -> MaxRounds:
        return self

    def reason(self, feedback: Feedback) -> StopReason | None:
        return self.stops if len(feedback.rounds) >= self.rounds else None
