"""The search for settings that need two teams: what it trains, what it finds, and the config that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodp_ray.config.run_config import load_config
from autodp_ray.strategy import NONE, Strategy
from benchmarks.report import read_report
from benchmarks.score_table import ScoredTraining, ScoreTable
from benchmarks.settings import (
    BASELINE_SEEDS,
    FRESH_SEEDS,
    MIXES,
    SEARCHED_SEEDS,
    SINGLES,
    Found,
    lead_intervals,
    needs_two_teams,
)
from benchmarks.strategy_table import CONFIG

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "settings.json"
CHOSEN = "configs/two-teams.yaml"
PAIR = Strategy(("cleaning", "generation"))


def made_table(gains: Mapping[Strategy, float]) -> ScoreTable:
    """Without noise, and worth one more on test rows to every strategy, so that these cancel."""
    trainings = [
        ScoredTraining(strategy=one, seed=seed, numerators=np.array([gain, gain, gain + 1.0]))
        for one, gain in {NONE: 0.0, **gains}.items()
        for seeds in (BASELINE_SEEDS if one == NONE else SEARCHED_SEEDS, FRESH_SEEDS)
        for seed in seeds
    ]
    return ScoreTable(trainings=tuple(trainings), denominators=np.ones(3), num_validation=2, made={"by": "hand"})


@pytest.mark.parametrize("seeds", [SEARCHED_SEEDS, FRESH_SEEDS])
def test_the_lead_is_that_over_the_best_single_team(seeds: range) -> None:
    singles = dict(zip(SINGLES, (0.3, 0.1, 0.2, -0.1), strict=True))
    found = Found.of(made_table({**singles, PAIR: 0.45}), seeds)
    assert found.best == PAIR
    assert found.lead(PAIR) == pytest.approx(0.15)


def test_what_is_left_of_the_interval_with_endless_seeds_holds_no_noise_of_theirs() -> None:
    noise = np.random.default_rng(0).normal(size=2 * len(FRESH_SEEDS))
    lead, trainings = 0.25, iter(noise)
    table = ScoreTable(
        trainings=tuple(
            ScoredTraining(strategy=one, seed=seed, numerators=np.full(4, gain + next(trainings)))
            for one, gain in ((PAIR, lead), (SINGLES[0], 0.0))
            for seed in FRESH_SEEDS
        ),
        denominators=np.ones(4),
        num_validation=1,
        made={"by": "hand"},
    )
    found = lead_intervals(table, PAIR, SINGLES[0])
    mean = lead + float(np.mean(noise[: len(FRESH_SEEDS)]) - np.mean(noise[len(FRESH_SEEDS) :]))
    assert found["lead_ci95_of_rows_alone"] == pytest.approx((mean, mean))
    assert found["lead_ci95"][0] < mean - 0.5
    assert found["lead_ci95"][1] > mean + 0.5


def test_a_lead_within_the_noise_or_from_one_training_needs_no_two_teams() -> None:
    found: dict[str, Any] = {"noise_floor": 0.01, "one_training": {"lead": 0.5}}
    assert not needs_two_teams(found)
    assert not needs_two_teams({**found, "fresh_seeds": {"lead": 0.009}})
    assert needs_two_teams({**found, "fresh_seeds": {"lead": 0.011}})


def test_the_config_for_two_teams_is_a_mix_that_was_found_to_need_them() -> None:
    mixes = read_report(RESULT).figures["mixes"]
    config = load_config(CHOSEN)
    (name,) = [
        name
        for name, mix in MIXES.items()
        if (config.dataset.corruption, config.sampling.rate)
        == ((made := load_config(CONFIG, list(mix.settings))).dataset.corruption, made.sampling.rate)
    ]
    assert needs_two_teams(mixes[name])
