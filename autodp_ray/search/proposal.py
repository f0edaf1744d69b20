"""What a search policy is told and what it answers: the scores so far, and a proposal for the next round.

Knows strategies and numbers. The types are frozen and checked when they are made: there is no field that could hold a
row, a path or an error text, so whatever asks a model with them tells it none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from autodp_ray.strategy import NONE, Strategy

PromptMessage = tuple[str, str]
"""(role, content)."""


class PolicyDecision(StrEnum):
    """What a policy wants: another round, a stop with the best strategy, or a stop because nothing is needed."""

    CONTINUE = "continue"
    BEST = "best"
    NONE_NEEDED = "none_needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    """Why a search ended: the word in result.json, and what the report says."""

    name: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyScore:
    """s = r - r_0 of one strategy with its 95 % interval; a score of None says that the strategy failed."""

    strategy: Strategy
    score: float | None
    ci95: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.strategy, Strategy):
            raise TypeError(f"strategy must be a Strategy, got {type(self.strategy).__name__}")
        _check_numbers(self.score, *(self.ci95 or ()))

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.ci95 is not None and self.ci95[0] > 0

    def is_below(self, other: StrategyScore) -> bool:
        """Whether the whole interval lies below the other's."""
        return self.ci95 is not None and other.ci95 is not None and self.ci95[1] < other.ci95[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one team, or one team directly before another, is estimated to add to a score, with a standard deviation."""

    of: Strategy
    """The team, or the two in their order."""
    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not isinstance(self.of, Strategy):
            raise TypeError(f"an effect is that of a Strategy, got {type(self.of).__name__}")
        _check_numbers(self.mean, self.sd)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundScores:
    """What one round measured."""

    round: int
    results: tuple[StrategyScore, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.round, int) or not all(isinstance(result, StrategyScore) for result in self.results):
            raise TypeError("a round is a number and a tuple of StrategyScore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """All that was measured so far."""

    rounds: tuple[RoundScores, ...] = ()
    baseline_score: float | None = None
    noise_floor: float | None = None

    def __post_init__(self) -> None:
        if not all(isinstance(one, RoundScores) for one in self.rounds):
            raise TypeError("rounds must be a tuple of RoundScores")
        _check_numbers(self.baseline_score, self.noise_floor)

    @property
    def next_round(self) -> int:
        """The number of the round that is to be planned."""
        return len(self.rounds) + 1

    @property
    def scores(self) -> dict[Strategy, float | None]:
        """Every strategy tried so far with its score, None where it only ever failed."""
        results = [result for one in self.rounds for result in one.results]
        scored = {result.strategy: result.score for result in results if result.score is not None}
        return {result.strategy: scored.get(result.strategy) for result in results}

    @property
    def scored(self) -> tuple[Strategy, ...]:
        """Strategies that have a score, in the order they were tried; never the empty one."""
        return tuple(strategy for strategy, score in self.scores.items() if score is not None and strategy != NONE)

    @property
    def best(self) -> StrategyScore | None:
        """The result with the highest score; of equal ones the shorter strategy, then the earlier."""
        found: StrategyScore | None = None
        for result in (result for one in self.rounds for result in one.results):
            if result.score is not None and (found is None or _rank(result) > _rank(found)):
                found = result
        return found

    def result_of(self, strategy: Strategy) -> StrategyScore | None:
        """The latest score of a strategy; None where it has none."""
        results = [result for one in self.rounds for result in one.results if result.strategy == strategy]
        return next((result for result in reversed(results) if result.score is not None), None)

    @property
    def proven_best(self) -> Strategy | None:
        """The best strategy where its score is above the noise floor, else None."""
        best = self.best
        return best.strategy if best is not None and (best.score or 0.0) > (self.noise_floor or 0.0) else None


def _rank(result: StrategyScore) -> tuple[float, int]:
    assert result.score is not None
    return result.score, -len(result.strategy)


def _check_numbers(*values: float | None) -> None:
    for value in values:
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"a score must be a number, got {type(value).__name__}")
        if not math.isfinite(value):
            raise ValueError(f"a score must be finite, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What to do in the next round."""

    strategies: tuple[Strategy, ...] = ()
    """Those to score; empty when the search should end."""
    decision: PolicyDecision = PolicyDecision.CONTINUE
    best: Strategy | None = None
    """The scored strategy that the policy calls the best; set exactly when the decision is `best`."""
    reasons: str = ""
    source: str
    """Who chose the strategies: one of the words in the policy's `sources`."""
    other_sources: Mapping[Strategy, str] = field(default_factory=dict)
    """Who chose those of the strategies that `source` did not, by a word of the same."""
    repairs: int = 0
    """How many replies of a model could not be used."""
    tokens: int = 0
    """What a model read and wrote for it, refused replies among it."""
    notes: tuple[str, ...] = ()
    """What was ignored or wrong in the replies."""
    turns: tuple[PromptMessage, ...] = ()
    """All that was said in this round, replies clipped, for the journal."""
    kept: tuple[PromptMessage, ...] = ()
    """What of it stays in the transcript of later rounds."""

    def source_of(self, strategy: Strategy) -> str:
        """Who chose one of the strategies."""
        return self.other_sources.get(strategy, self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a policy knows when it proposes: the scores, and what it proposed in each round before.

    A policy keeps nothing else between rounds, so a resumed search goes on as if it had never been interrupted.
    """

    feedback: Feedback = Feedback()
    proposals: tuple[Proposal, ...] = ()


class Policy(Protocol):
    """Chooses the strategies of each round."""

    @property
    def endings(self) -> Mapping[PolicyDecision, StopReason]:
        """Why a search ends with each decision; that of `continue` stands for a round without a strategy."""

    def propose(self, history: History) -> Proposal:
        """The next round's strategies, or the wish to stop. The same history gives the same proposal.

        Raises: EndpointError where a model that it asks failed.
        """


class StopRule(Protocol):
    """Ends a search before a round, whatever its policy would propose."""

    def reason(self, feedback: Feedback) -> StopReason | None:
        """Why the next round must not begin; None where it may."""
