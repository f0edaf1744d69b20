"""Replays on a table of scores: what is made of a known table is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autodp_ray.search.confirmation import Confirmation
from autodp_ray.search.policies.exhaustive import ExhaustiveSearch
from autodp_ray.strategy import NONE, Strategy, strategy_space
from benchmarks.claims import DESIGNS, Noise, confirmable, null_searches, power
from benchmarks.regret_table import Replayed, whole_teams
from benchmarks.score_table import ScoredTraining, ScoreTable, read_table, write_table
from benchmarks.strategy_table import NUM_BASELINE_SEEDS, RESULT

TEAMS = ("cleaning", "optimization", "selection")
NUM_VALIDATION, NUM_ITEMS = 20, 60
BEST = Strategy(("cleaning", "selection"))


def made_table(noise: float) -> ScoreTable:
    """All strategies of three teams; each team more costs 0.1, but for the best, which gains 0.5."""
    rng = np.random.default_rng(0)
    seeds = {NONE: range(33), **{one: range(3) for one in strategy_space(TEAMS) if one}}
    gains = {one: 0.5 if one == BEST else -0.1 * len(one) for one in seeds}
    trainings = [
        ScoredTraining(strategy=one, seed=seed, numerators=gains[one] + rng.normal(0, noise, NUM_ITEMS) - 3.0)
        for one, each in seeds.items()
        for seed in each
    ]
    return ScoreTable(
        trainings=tuple(trainings), denominators=np.ones(NUM_ITEMS), num_validation=NUM_VALIDATION, made={"by": "hand"}
    )


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = made_table(0.1)
    write_table(table, tmp_path / "table.parquet")
    read = read_table(tmp_path / "table.parquet")
    assert (read.made, read.num_validation, read.strategies) == (table.made, table.num_validation, table.strategies)
    assert [(one.strategy, one.seed) for one in read.trainings] == [(one.strategy, one.seed) for one in table.trainings]
    for one, other in zip(read.trainings, table.trainings, strict=True):
        assert one.numerators == pytest.approx(other.numerators, abs=1e-6)


def test_the_space_is_that_of_the_teams_that_are_whole() -> None:
    assert whole_teams(made_table(0.1)) == TEAMS


def test_without_noise_a_search_of_everything_has_no_regret_and_one_of_less_has_that_of_its_best() -> None:
    replayed = Replayed(made_table(1e-9), TEAMS)
    size = len(replayed.space)
    first, last = replayed.regrets(ExhaustiveSearch(), [1, size], num_searches=3)
    assert first == pytest.approx(0.6)
    assert last == pytest.approx(0.0, abs=1e-6)


def test_a_search_is_judged_by_other_seeds_than_it_saw() -> None:
    table = made_table(0.5)
    replayed = Replayed(table, TEAMS)
    own = {one.strategy: table.score(one, table.test) for one in table.trainings if one.seed == 1}
    others = [one for one in table.of(BEST) if one.seed != 1]
    expected = np.mean([table.score(one, table.test) for one in others])
    baseline = np.mean([table.score(one, table.test) for one in table.of(NONE)])
    assert replayed.judged(1)[BEST] == pytest.approx(expected - baseline)
    assert replayed.judged(1)[BEST] != pytest.approx(own[BEST] - baseline)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=list(DESIGNS))
def test_few_searches_among_equals_claim_anything_and_intervals_hold_the_gain(design: Confirmation) -> None:
    noise = Noise(made_table(0.1))
    assert null_searches(noise, design, num=20)["false_claims"] <= 0.15
    found = power(noise, design, num=10)["gain_040"]
    assert isinstance(found, dict)
    assert found["coverage"] >= 0.7


def test_a_confirmable_gain_lies_between_the_measured_ones() -> None:
    assert confirmable({0.0: 0.0, 0.02: 0.6, 0.04: 1.0}) == pytest.approx(0.03)
    assert confirmable({0.0: 0.0, 0.02: 0.6}) is None


def test_the_table_that_is_checked_in_has_its_baseline_and_a_space_that_is_whole() -> None:
    table = read_table(RESULT)
    assert len(table.of(NONE)) == NUM_BASELINE_SEEDS
    assert len(Replayed(table, whole_teams(table)).seeds) > 1
    assert {"command", "setting", "versions"} <= table.made.keys()
