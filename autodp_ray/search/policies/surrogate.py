"""The policy `surrogate`: tries what an estimate of the teams' effects promises most, or knows least about.

Sources: Thompson 1933 (sampling); Srinivas et al., arXiv 0912.3995 (upper confidence bounds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from autodp_ray.search.effects import EffectEstimate, estimate_effects
from autodp_ray.search.policies.base import ALL_TRIED, PolicyInputs, PolicySpec, ending, untried
from autodp_ray.search.proposal import Feedback, History, PolicyDecision, Proposal
from autodp_ray.statistics import Floats
from autodp_ray.strategy import Strategy

Acquisition = Literal["ucb", "thompson"]
SURROGATE = "surrogate"
SURROGATE_SOURCES = {SURROGATE: "chosen by the estimated effects of teams"}
_ENDINGS = dict.fromkeys(PolicyDecision, ALL_TRIED)


class SurrogateSearch(PolicySpec):
    """Starts with single teams, then learns effects of team, place and order from the scores and tries the most
    promising strategy; asks no model."""

    sources: ClassVar[Mapping[str, str]] = SURROGATE_SOURCES
    endings = _ENDINGS

    name: Literal["surrogate"] = "surrogate"
    acquisition: Acquisition = "ucb"
    """How a strategy is chosen: `ucb` takes the highest expected score plus its uncertainty; `thompson` draws a
    score with the seed `search.seed`."""
    optimism: float = Field(default=1.0, ge=0)
    """How many standard deviations `ucb` adds to the expected score."""

    def build(self, inputs: PolicyInputs) -> SurrogatePolicy:
        surrogate = Surrogate(inputs=inputs, acquisition=self.acquisition, optimism=self.optimism)
        return SurrogatePolicy(inputs=inputs, surrogate=surrogate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate:
    """Chooses strategies by the effects that the scores so far show."""

    inputs: PolicyInputs
    acquisition: Acquisition
    optimism: float

    def choose(self, feedback: Feedback, *, k: int, but: Sequence[Strategy] = ()) -> tuple[Strategy, ...]:
        """Up to k untried strategies that are none of `but`."""
        still_open = [one for one in untried(feedback, self.inputs.task.teams) if one not in but]
        return self.ranked(feedback, still_open, k=k)

    def ranked(self, feedback: Feedback, strategies: Sequence[Strategy], *, k: int) -> tuple[Strategy, ...]:
        """The k most promising strategies, single teams first, each as if those before it had been tried."""
        estimate = estimate_effects(feedback, self.inputs.task.teams)
        rng = np.random.default_rng([self.inputs.seed, feedback.next_round])
        left, chosen = list(strategies), list[Strategy]()
        while left and len(chosen) < k:
            next_ones = [one for one in left if len(one) == 1] or left
            best = next_ones[int(np.argmax(self._promise(estimate, next_ones, rng=rng)))]
            left.remove(best)
            chosen.append(best)
            estimate = estimate.with_trial(best)
        return tuple(chosen)

    def _promise(self, estimate: EffectEstimate, strategies: Sequence[Strategy], *, rng: np.random.Generator) -> Floats:
        if self.acquisition == "thompson":
            return estimate.drawn(strategies, rng=rng)
        mean, sd = estimate.expected(strategies)
        return mean + self.optimism * sd


@dataclass(frozen=True, slots=True, kw_only=True)
class SurrogatePolicy:
    """Asks the surrogate alone."""

    endings: ClassVar = _ENDINGS

    inputs: PolicyInputs
    surrogate: Surrogate

    def propose(self, history: History) -> Proposal:
        chosen = self.surrogate.choose(history.feedback, k=self.inputs.task.num_strategies)
        return Proposal(strategies=chosen, source=SURROGATE) if chosen else ending(history.feedback, source=SURROGATE)
