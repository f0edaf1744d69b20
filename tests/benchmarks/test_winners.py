"""Rules by which a search chooses, replayed: what is known of a made table comes out, and the report is of these."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autodp_ray.config.run_config import load_config
from autodp_ray.strategy import NONE, strategy_space
from benchmarks.gates import judge, load_bars
from benchmarks.regret_table import Replayed
from benchmarks.report import read_report
from benchmarks.score_table import ScoredTraining, ScoreTable
from benchmarks.strategy_table import CONFIG
from benchmarks.winners import RULES, compared, drawn, drawn_alike

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "winners.json"
TEAMS = ("cleaning", "optimization", "selection")
NUM_VALIDATION, NUM_ITEMS = 40, 80


def made_table(*, gain_of_a_team: float, seed_sd: float) -> ScoreTable:
    """Three teams, each of which adds as much; items answer alike but for a little noise."""
    rng = np.random.default_rng(0)
    strategies = strategy_space(TEAMS)
    trainings = [
        ScoredTraining(
            strategy=one,
            seed=seed,
            numerators=0.1 + len(one) * gain_of_a_team + rng.normal(0, seed_sd) + rng.normal(0, 0.01, NUM_ITEMS),
        )
        for one in strategies
        for seed in range(20 if one == NONE else 3)
    ]
    return ScoreTable(
        trainings=tuple(trainings), denominators=np.ones(NUM_ITEMS), num_validation=NUM_VALIDATION, made={"by": "hand"}
    )


def test_where_each_team_gains_clearly_every_rule_takes_the_longest_and_regrets_nothing_more() -> None:
    table = made_table(gain_of_a_team=1.0, seed_sd=0.001)
    replayed = Replayed(table, TEAMS, load_config(CONFIG))
    found = compared(drawn(replayed, 8, 2))
    assert [one["regret_beyond_the_highest"] for one in found.values()] == [0.0] * len(RULES)
    assert {one["teams"] for one in found.values()} == {found["highest"]["teams"]}
    assert {one["longer_in_vain"] for one in found.values()} == {0.0}


def test_among_equals_a_rule_that_knows_the_seeds_is_seldom_longer_in_vain() -> None:
    table = made_table(gain_of_a_team=0.0, seed_sd=0.05)
    found = compared(drawn_alike(Replayed(table, TEAMS, load_config(CONFIG)), 6, 40))
    assert found["one_standard_error"]["longer_in_vain"] < found["items"]["longer_in_vain"] / 2
    assert {one["regret"] for one in found.values()} == {0.0}


def test_the_report_is_of_these_rules_and_holds_its_bar() -> None:
    figures = read_report(RESULT).figures
    assert list(figures["alike"]["tried_15"]) == list(RULES)
    (gate,) = judge(load_bars()["winners"], figures, smoke=False)
    assert gate.ok
