"""Replayed searches on made landscapes: what is searched is what the table says, and regret means what it says."""

from __future__ import annotations

import numpy as np
import pytest

from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.policies.exhaustive import ExhaustiveSearch
from autodp_ray.search.proposal import StrategyScore
from benchmarks.regret import EVALUATIONS, POLICIES, SPACE, SPREAD, landscape, regrets, replay, tried


def test_a_landscape_has_the_spread_that_is_said_and_is_the_same_for_a_seed() -> None:
    assert landscape(3) == landscape(3) != landscape(4)
    assert np.std(list(landscape(3).values())) == pytest.approx(SPREAD)


def test_a_replay_tries_what_the_policy_proposes_and_no_more_than_it_may() -> None:
    policy = ExhaustiveSearch().build(PolicyInputs(task=AgentTask(num_strategies=4)))
    scores = {one: StrategyScore(strategy=one, score=each) for one, each in landscape(0).items()}
    assert tried(replay(policy, scores, noise_floor=0.01, num=10)) == SPACE[:10]
    assert tried(replay(policy, scores, noise_floor=0.01, num=1000)) == SPACE


def test_a_replay_from_a_given_start_tries_that_first_and_nothing_twice() -> None:
    policy = ExhaustiveSearch().build(PolicyInputs(task=AgentTask(num_strategies=4)))
    scores = {one: StrategyScore(strategy=one, score=each) for one, each in landscape(0).items()}
    start = (SPACE[20], SPACE[2])
    rounds = replay(policy, scores, noise_floor=0.01, num=4, start=start)
    assert tried(rounds) == (*start, SPACE[0], SPACE[1])


@pytest.mark.parametrize("spec", POLICIES.values(), ids=list(POLICIES))
def test_without_noise_regret_never_rises_with_more_evaluations(spec: PolicySpec) -> None:
    found = regrets(spec, seed=0, noise_sd=1e-9)
    assert len(found) == len(EVALUATIONS)
    assert found == sorted(found, reverse=True)
    assert min(found) >= 0


def test_with_little_noise_the_surrogate_needs_fewer_evaluations_than_random_draws() -> None:
    at = EVALUATIONS.index(16)
    means = {
        name: np.mean([regrets(POLICIES[name], seed=seed, noise_sd=0.002)[at] for seed in range(12)])
        for name in ("random", "ucb")
    }
    assert means["ucb"] < 0.7 * means["random"]
