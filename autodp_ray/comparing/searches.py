"""One search of a comparison: at most so many trainings, rounds in the shared journal, and what it chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autodp_ray.comparing.comparison import SearchRecord, TriedStrategy
from autodp_ray.comparing.options import Arm
from autodp_ray.config.run_config import Config
from autodp_ray.journal import Journal
from autodp_ray.runs.evaluation import Evaluation
from autodp_ray.runs.search_policy import search_policy
from autodp_ray.search.journaled import JournaledPolicy, was_proposed
from autodp_ray.search.loop import Baseline, Evaluated, SearchOutcome, search
from autodp_ray.search.proposal import Feedback, History, Policy, PolicyDecision, Proposal, StopReason, StopRule
from autodp_ray.search.racing import race
from autodp_ray.search.stop_rules.base import Spent, StopInputs
from autodp_ray.search.stop_rules.budget import BudgetConfig
from autodp_ray.search.stop_rules.max_rounds import MaxRounds
from autodp_ray.search.winner import shortest_of_the_best
from autodp_ray.strategy import NONE, Strategy
from operators.contract.errors import RunError
from operators.contract.resources import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinBudget:
    """A policy whose last round is cut to the trainings that are left; as a stop rule, the end when none is."""

    policy: Policy
    trainings: int

    @property
    def endings(self) -> Mapping[PolicyDecision, StopReason]:
        return self.policy.endings

    def propose(self, history: History) -> Proposal:
        proposal = self.policy.propose(history)
        left = self.trainings - _num_tried(history.feedback)
        if len(proposal.strategies) <= left:
            return proposal
        note = f"cut to the {left} trainings that are left"
        return replace(proposal, strategies=proposal.strategies[:left], notes=(*proposal.notes, note))

    def reason(self, feedback: Feedback) -> StopReason | None:
        return BudgetConfig.stops if _num_tried(feedback) >= self.trainings else None


def _num_tried(feedback: Feedback) -> int:
    return sum(len(each.results) for each in feedback.rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searcher:
    """Searches on one sample, against one baseline."""

    evaluation: Evaluation
    baseline: Baseline
    journal: Journal
    language: Language
    trainings: int

    def search(self, arm: Arm, seed: int) -> SearchRecord:
        """One search of an arm.

        Raises: EndpointError where a model that its policy asks failed, RunError where no strategy could be scored.
        """
        settings = arm.config.search.model_copy(update={"seed": seed})
        config = arm.config.model_copy(update={"search": settings})
        scope = f"{arm.label}, seed {seed}, round "
        policy = search_policy(config, language=self.language, chat=self.evaluation.services.agent)
        num_leaders = settings.race_leaders
        budget = WithinBudget(policy=policy, trainings=_first_trainings(self.trainings, num_leaders=num_leaders))
        searched = search(
            JournaledPolicy(policy=budget, journal=self.journal, scope=scope),
            evaluate=self.evaluation.evaluator.evaluate,
            baseline=self.baseline,
            rules=[budget, *self._rules(config, scope)],
            on_round=lambda done: None,
        )
        again = self.evaluation.evaluator.evaluate_again
        outcome = race(searched, num_leaders=num_leaders, again=again, on_round=lambda done: None)
        won = winner(outcome, config, self.baseline)
        return SearchRecord(
            arm=arm.label,
            agent=arm.agent if settings.policy.roles else None,
            num_strategies=settings.num_strategies,
            seed=seed,
            rounds=len(searched.rounds),
            stop_reason=outcome.stop_reason.name,
            tried=_tried(outcome),
            winner=str(NONE if won is None else won.strategy),
            winner_score=None if won is None else won.estimate,
        )

    def _rules(self, config: Config, scope: str) -> list[StopRule]:
        """The config's rules, but for its budget, which one search must not use up for the others."""
        if not config.search.policy.obeys_stop_rules:
            return []
        inputs = StopInputs(
            spent=lambda: Spent(seconds=0.0, tokens=0, trainings=0),
            has_begun=lambda number: was_proposed(self.journal, number, scope=scope),
        )
        specs = (MaxRounds(rounds=config.search.max_rounds), *config.search.stop)
        return [spec.build(inputs) for spec in specs]


def _first_trainings(trainings: int, *, num_leaders: int) -> int:
    """How many strategies are scored, so that their leaders can be trained again within the same budget."""
    if num_leaders < 2:  # there is nobody to race
        return trainings
    return max(1, trainings - num_leaders, trainings // 2)


def winner(outcome: SearchOutcome, config: Config, baseline: Baseline) -> Evaluated | None:
    """What a search chooses; None is no processing.

    Raises: RunError where no strategy could be scored.
    """
    best = outcome.best
    if best is None:
        if outcome.failures:
            policy, error = config.search.policy.name, outcome.failures[0].error
            raise RunError(
                f"every strategy of the policy {policy} failed; the first with: {error}; the same command tries it "
                "again, and --policies without it, with --fresh, leaves it out: what others have done is in the cache"
            )
        return None
    if not config.search.policy.may_choose_none:
        return best
    if best.estimate <= 0 or best.strategy == Strategy():
        return None
    settings = config.evaluation
    return shortest_of_the_best(
        best,
        outcome.eligible,
        baseline=baseline.items,
        seed=settings.seed,
        num_resamples=settings.bootstrap_samples,
    )


def _tried(outcome: SearchOutcome) -> tuple[TriedStrategy, ...]:
    return tuple(
        TriedStrategy(
            strategy=str(one.strategy),
            round=each.number,
            score=None if one.score is None else one.score.estimate,
            ci95=None if one.score is None else one.score.ci95,
            source=each.source_of(one.strategy),
        )
        for each in outcome.rounds
        for one in each.evaluated
    )
