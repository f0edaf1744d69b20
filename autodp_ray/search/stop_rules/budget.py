"""The stop rule `budget`: what a search may spend. A round that began is finished.

All attempts at a run count together, so that a run that was killed and resumed spends no more than an unbroken one.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from autodp_ray.search.proposal import Feedback, StopReason
from autodp_ray.search.stop_rules.base import StopInputs, StopRuleSpec


class BudgetConfig(StopRuleSpec):
    """Limits of the whole run, over all its attempts. A search that reaches one ends in good order; null is no
    limit."""

    stops = StopReason(name="budget", words="the budget was used up")

    seconds: float | None = Field(default=None, gt=0)
    """The wall-clock time of the run, in seconds."""
    tokens: int | None = Field(default=None, gt=0)
    """How many tokens the chat models may read and write, prompts and replies together."""
    trainings: int | None = Field(default=None, gt=0)
    """How many trainings may be run; one from the cache costs nothing."""

    def build(self, inputs: StopInputs) -> Budget:
        return Budget(limits=self, inputs=inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Compares what was spent with the limits."""

    limits: BudgetConfig
    inputs: StopInputs

    def reason(self, feedback: Feedback) -> StopReason | None:
        if self.inputs.has_begun(feedback.next_round):
            return None
        spent, limits = self.inputs.spent(), self.limits
        used = (
            (spent.seconds, limits.seconds),
            (spent.tokens, limits.tokens),
            (spent.trainings, limits.trainings),
        )
        return limits.stops if any(limit is not None and amount >= limit for amount, limit in used) else None
