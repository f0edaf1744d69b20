"""The search loop: rounds of proposals and scores until the policy or a stop rule ends it. A controller.

What a policy says is a proposal; what the scores say decides. Knows no Ray, no rows, no files: policy, rules and
evaluations are given to it, so it runs in a test as it runs on a cluster.

Source: LLM-AutoDP, section 3.2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autodp_ray.search.proposal import (
    Feedback,
    History,
    Policy,
    PolicyDecision,
    Proposal,
    RoundScores,
    StopReason,
    StopRule,
    StrategyScore,
)
from autodp_ray.statistics import Interval, ItemScores
from autodp_ray.strategy import NONE, Strategy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One strategy's score s = r - r_0 with its interval, or why it has none."""

    strategy: Strategy
    score: Interval | None = None
    score_raw: float | None = None
    num_steps: int | None = None
    num_rows: int | None = None
    error: str | None = None
    items: tuple[ItemScores, ...] = field(default=(), repr=False)
    """Its scores item by item, of each training, which pair it with another strategy."""

    @property
    def estimate(self) -> float:
        """s of a strategy that has a score."""
        assert self.score is not None
        return self.score.estimate

    @property
    def told(self) -> StrategyScore:
        """What a policy is told of it."""
        if self.score is None:
            return StrategyScore(strategy=self.strategy, score=None)
        return StrategyScore(strategy=self.strategy, score=self.score.estimate, ci95=self.score.ci95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round proposed and measured."""

    number: int
    source: str
    """Who chose its strategies, in a word of the policy's `sources`."""
    evaluated: tuple[Evaluated, ...]
    other_sources: Mapping[Strategy, str] = field(default_factory=dict)
    """Who chose those of them that `source` did not."""
    notes: tuple[str, ...] = ()
    """What of a model's replies was refused, ignored or filled up."""

    def source_of(self, strategy: Strategy) -> str:
        """Who chose one of its strategies."""
        return self.other_sources.get(strategy, self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOutcome:
    """A finished search."""

    rounds: tuple[Round, ...]
    stop_reason: StopReason
    agent_choice: Strategy | None
    """What the policy itself calls the best."""
    finalists: tuple[Evaluated, ...] = ()
    """Those that were trained again, with the scores of all their trainings; empty where none was."""

    @property
    def scored(self) -> tuple[Evaluated, ...]:
        """Everything that has a score, in the order it was tried."""
        return tuple(one for each in self.rounds for one in each.evaluated if one.score is not None)

    @property
    def eligible(self) -> tuple[Evaluated, ...]:
        """Those of which one is chosen: what was trained again, else everything that has a score."""
        return self.finalists or self.scored

    @property
    def best(self) -> Evaluated | None:
        """The eligible strategy with the highest s; of equal ones the shorter, then the earlier."""
        return max(self.eligible, key=lambda one: (one.estimate, -len(one.strategy)), default=None)

    @property
    def failures(self) -> tuple[Evaluated, ...]:
        return tuple(one for each in self.rounds for one in each.evaluated if one.error is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The score of no processing, and the difference between seeds on the same data."""

    score: float
    noise_floor: float
    by_seed: Mapping[int, float] = field(default_factory=dict)
    """The scores whose mean `score` is."""
    items: tuple[ItemScores, ...] = field(default=(), repr=False)
    """The same item by item."""

    @property
    def num_items(self) -> int | None:
        """Items that they were measured on."""
        return len(self.items[0].ids) if self.items else None


EvaluateFn = Callable[[Sequence[Strategy]], Sequence[Evaluated]]
RoundFn = Callable[[Round], None]


def search(
    policy: Policy, *, evaluate: EvaluateFn, baseline: Baseline, rules: Sequence[StopRule], on_round: RoundFn
) -> SearchOutcome:
    """Ask the policy, evaluate, feed back, until it wants to stop or a rule, asked before each round, ends it."""
    rounds: list[Round] = []
    proposals: list[Proposal] = []
    while True:
        feedback = _feedback(rounds, baseline)
        reason = next(filter(None, (rule.reason(feedback) for rule in rules)), None)
        if reason is not None:
            return SearchOutcome(rounds=tuple(rounds), stop_reason=reason, agent_choice=None)
        proposal = policy.propose(History(feedback=feedback, proposals=tuple(proposals)))
        if proposal.decision is not PolicyDecision.CONTINUE or not proposal.strategies:
            return _stopped(policy, proposal, rounds, feedback)
        evaluated = tuple(evaluate(proposal.strategies))
        done = Round(
            number=len(rounds) + 1,
            source=proposal.source,
            other_sources=proposal.other_sources,
            evaluated=evaluated,
            notes=proposal.notes,
        )
        rounds.append(done)
        proposals.append(proposal)
        on_round(done)


def _stopped(policy: Policy, proposal: Proposal, rounds: Sequence[Round], feedback: Feedback) -> SearchOutcome:
    """The end that the policy wants."""
    choice = NONE if proposal.decision is PolicyDecision.NONE_NEEDED else proposal.best
    proven = feedback.proven_best
    if choice == NONE and proven:
        log.warning(
            "the search stops because no processing is said to be needed, but %s scores above the noise floor of %.4f: "
            "the scores decide, and it is confirmed on the test set",
            proven,
            feedback.noise_floor or 0.0,
        )
    return SearchOutcome(rounds=tuple(rounds), stop_reason=policy.endings[proposal.decision], agent_choice=choice)


def _feedback(rounds: Sequence[Round], baseline: Baseline) -> Feedback:
    return Feedback(
        rounds=tuple(
            RoundScores(round=each.number, results=tuple(one.told for one in each.evaluated)) for each in rounds
        ),
        baseline_score=baseline.score,
        noise_floor=baseline.noise_floor,
    )
