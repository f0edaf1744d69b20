"""The search loop: rounds of proposals and scores until somebody stops it. A controller; the policies are elsewhere.

What the agent says is a proposal; what the scores say decides. Knows no Ray, no rows, no files: proposals and
evaluations are functions that it is given, so it runs in a test as it runs on a cluster.

Source: LLM-AutoDP, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from autodp_ray.result import StrategySource
from autodp_ray.search.agent.agent import Proposal
from autodp_ray.search.agent.messages import Feedback, RoundScores, StrategyScore
from autodp_ray.search.agent.reply import Decision
from autodp_ray.statistics import Interval
from autodp_ray.strategy import NONE, Strategy


class StopReason(StrEnum):
    """Why a search ended."""

    AGENT_BEST = "agent_best"
    AGENT_NONE_NEEDED = "agent_none_needed"
    NOTHING_NEW = "nothing_new"
    MAX_ROUNDS = "max_rounds"
    BUDGET = "budget"
    GIVEN_SCORED = "given_scored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One strategy's score s = r - r_0 with its interval, or why it has none."""

    strategy: Strategy
    score: Interval | None = None
    score_raw: float | None = None
    num_steps: int | None = None
    num_rows: int | None = None
    error: str | None = None

    @property
    def estimate(self) -> float:
        """s of a strategy that has a score."""
        assert self.score is not None
        return self.score.estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round proposed and measured."""

    number: int
    source: StrategySource
    evaluated: tuple[Evaluated, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished search."""

    rounds: tuple[Round, ...]
    stop_reason: StopReason
    agent_choice: Strategy | None

    @property
    def best(self) -> Evaluated | None:
        """The scored strategy with the highest s; of equal ones the shorter, then the earlier."""
        scored = [one for each in self.rounds for one in each.evaluated if one.score is not None]
        return max(scored, key=lambda one: (one.estimate, -len(one.strategy)), default=None)

    @property
    def failures(self) -> tuple[Evaluated, ...]:
        return tuple(one for each in self.rounds for one in each.evaluated if one.error is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The score of no processing, and what scores differ by without reason."""

    score: float
    noise_floor: float


ProposeFn = Callable[[Feedback], Proposal]
EvaluateFn = Callable[[Sequence[Strategy]], Sequence[Evaluated]]
RoundFn = Callable[[Round], None]


def search(
    *,
    propose: ProposeFn,
    evaluate: EvaluateFn,
    baseline: Baseline,
    max_rounds: int,
    budget_left: Callable[[int], bool],
    on_round: RoundFn,
) -> Outcome:
    """Ask, evaluate, feed back, until the agent, the rounds or the budget end it.

    `budget_left` says of a round's number whether it may begin.
    """
    rounds: list[Round] = []
    while len(rounds) < max_rounds:
        if not budget_left(len(rounds) + 1):
            return Outcome(rounds=tuple(rounds), stop_reason=StopReason.BUDGET, agent_choice=None)
        proposal = propose(_feedback(rounds, baseline))
        if proposal.decision is Decision.BEST:
            return Outcome(rounds=tuple(rounds), stop_reason=StopReason.AGENT_BEST, agent_choice=proposal.best)
        if proposal.decision is Decision.NONE_NEEDED:
            return Outcome(rounds=tuple(rounds), stop_reason=StopReason.AGENT_NONE_NEEDED, agent_choice=NONE)
        if not proposal.strategies:
            return Outcome(rounds=tuple(rounds), stop_reason=StopReason.NOTHING_NEW, agent_choice=None)
        done = Round(
            number=len(rounds) + 1,
            source=proposal.source.value,
            evaluated=tuple(evaluate(proposal.strategies)),
        )
        rounds.append(done)
        on_round(done)
    return Outcome(rounds=tuple(rounds), stop_reason=StopReason.MAX_ROUNDS, agent_choice=None)


def score_given(given: Sequence[Sequence[Strategy]], *, evaluate: EvaluateFn, on_round: RoundFn) -> Outcome:
    """Rounds over given lists, without an agent."""
    rounds: list[Round] = []
    for number, strategies in enumerate(given, 1):
        rounds.append(Round(number=number, source="given", evaluated=tuple(evaluate(strategies))))
        on_round(rounds[-1])
    return Outcome(rounds=tuple(rounds), stop_reason=StopReason.GIVEN_SCORED, agent_choice=None)


def _feedback(rounds: Sequence[Round], baseline: Baseline) -> Feedback:
    return Feedback(
        rounds=tuple(
            RoundScores(round=each.number, results=tuple(_shown(one) for one in each.evaluated)) for each in rounds
        ),
        baseline_score=baseline.score,
        noise_floor=baseline.noise_floor,
    )


def _shown(evaluated: Evaluated) -> StrategyScore:
    if evaluated.score is None:
        return StrategyScore(strategy=evaluated.strategy, score=None)
    return StrategyScore(strategy=evaluated.strategy, score=evaluated.score.estimate, ci95=evaluated.score.ci95)
