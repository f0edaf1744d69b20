"""The stop rule `patience`: a number of rounds in a row brought no better best score."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autodp_ray.search.proposal import Feedback, StopReason
from autodp_ray.search.stop_rules.base import StopInputs, StopRuleSpec
from operators.contract.family import Member


class Patience(Member, StopRuleSpec):
    """Ends a search when the best score has not risen for some rounds."""

    stops = StopReason(name="patience", words="no round brought a better score any more")

    name: Literal["patience"] = "patience"
    rounds: int = Field(default=2, ge=1)
    """How many rounds in a row may pass without a better best score."""

    def build(self, inputs: StopInputs) -> Patience:
        return self

    def reason(self, feedback: Feedback) -> StopReason | None:
        earlier = Feedback(rounds=feedback.rounds[: -self.rounds]).best
        latest = Feedback(rounds=feedback.rounds[-self.rounds :]).best
        if earlier is None or earlier.score is None:
            return None
        has_risen = latest is not None and latest.score is not None and latest.score > earlier.score
        return None if has_risen else self.stops
