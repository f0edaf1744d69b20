"""The leaders of a search meet again from another seed, and luck of the first one does not choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from autodp_ray.search.loop import Evaluated, Round, SearchOutcome
from autodp_ray.search.policies.random import RandomSearch
from autodp_ray.search.proposal import StopReason
from autodp_ray.search.racing import RACE, race
from autodp_ray.statistics import Interval
from autodp_ray.strategy import Strategy
from benchmarks.regret import EVALUATIONS, RACE_SHARE, regrets


def evaluated(text: str, score: float) -> Evaluated:
    return Evaluated(strategy=Strategy.parse(text), score=Interval(estimate=score, low=score - 0.1, high=score + 0.1))


OUTCOME = SearchOutcome(
    rounds=(
        Round(number=1, source="random", evaluated=(evaluated("cleaning", 0.3), evaluated("selection", 0.25))),
        Round(number=2, source="random", evaluated=(evaluated("optimization", 0.5), evaluated("generation", 0.2))),
    ),
    stop_reason=StopReason(name="max_rounds", words="all rounds were used"),
    agent_choice=None,
)


class Again:
    """Second trainings as they are written; without a score they fail."""

    def __init__(self, seconds: Mapping[str, float | None]) -> None:
        self.seconds = seconds
        self.asked: list[str] = []
        self.rounds: list[Round] = []

    def __call__(self, leaders: Sequence[Evaluated]) -> list[Evaluated]:
        self.asked += [str(one.strategy) for one in leaders]
        return [self._one(one) for one in leaders]

    def _one(self, one: Evaluated) -> Evaluated:
        second = self.seconds[str(one.strategy)]
        if second is None:
            return Evaluated(strategy=one.strategy, error="the endpoint is gone")
        mean = (one.estimate + second) / 2
        return replace(one, score=Interval(estimate=mean, low=mean - 0.1, high=mean + 0.1))

    def race(self, num_leaders: int) -> SearchOutcome:
        return race(OUTCOME, num_leaders=num_leaders, again=self, on_round=self.rounds.append)


def test_a_lucky_leader_loses_to_one_that_scores_well_twice() -> None:
    again = Again({"optimization": -0.2, "cleaning": 0.3})
    outcome = again.race(2)
    assert again.asked == ["optimization", "cleaning"], "the leaders alone are trained again"
    assert outcome.best is not None
    assert str(outcome.best.strategy) == "cleaning"
    assert [one.source for one in outcome.rounds] == ["random", "random", RACE]
    assert tuple(again.rounds) == outcome.rounds[-1:]


def test_what_did_not_race_is_not_chosen_for_its_one_score() -> None:
    outcome = Again({"optimization": -0.9, "cleaning": -0.9}).race(2)
    assert [str(one.strategy) for one in outcome.eligible] == ["optimization", "cleaning"]


@pytest.mark.parametrize(
    ("seconds", "winner"),
    [({"optimization": None, "cleaning": 0.3}, "cleaning"), ({"optimization": None, "cleaning": None}, "optimization")],
)
def test_a_second_training_that_fails_counts_for_nothing(seconds: Mapping[str, float | None], winner: str) -> None:
    outcome = Again(seconds).race(2)
    assert outcome.best is not None
    assert str(outcome.best.strategy) == winner


def test_a_strategy_that_was_scored_in_two_rounds_takes_one_place() -> None:
    again = Again({"cleaning": 0.3, "selection": 0.2})
    twice = replace(OUTCOME, rounds=(OUTCOME.rounds[0], replace(OUTCOME.rounds[0], number=2)))
    race(twice, num_leaders=2, again=again, on_round=again.rounds.append)
    assert again.asked == ["cleaning", "selection"]


@pytest.mark.parametrize("num_leaders", [0, 1])
def test_one_leader_has_nobody_to_race(num_leaders: int) -> None:
    assert Again({}).race(num_leaders) is OUTCOME


def test_under_the_noise_of_one_training_racing_leaves_less_regret_for_as_many_trainings() -> None:
    at = EVALUATIONS.index(16)
    plain, raced = (
        np.mean([regrets(RandomSearch(), seed=seed, noise_sd=0.017, race_share=share)[at] for seed in range(60)])
        for share in (0.0, RACE_SHARE)
    )
    assert raced < plain
