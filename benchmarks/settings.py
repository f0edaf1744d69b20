"""Which damage needs more than one team: a search over mixes of damage.

On the quickstart's own damage a single team is best. Each mix here is the quickstart with other damage and nothing else
changed, neither the training recipe nor the scores. Every single team and both orders of the two best are trained once.
Where a pair leads by more than the noise floor, it and the two single teams are trained again from fresh seeds, and
compared on rows that chose nothing. The same command goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import permutations
from types import MappingProxyType
from typing import Any

import numpy as np

from autodp_ray.cluster.ray import Cluster, connected
from autodp_ray.config.run_config import load_config
from autodp_ray.damage.corruption import CorruptionKind
from autodp_ray.statistics import ItemScores, noise_floor, paired_interval
from autodp_ray.strategies.strategy_evaluation import CONFIRM_SEED_OFFSET
from autodp_ray.strategy import NONE, PAPER_TEAMS, Strategy
from benchmarks.protocol import Figures
from benchmarks.score_table import ScoreTable
from benchmarks.strategy_table import CONFIG, ONE_THREAD, SMOKE
from benchmarks.table_making import TableMaking


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """One setting: planted damage, and the share of the rows that is searched on."""

    rate: float
    kinds: Mapping[CorruptionKind, float]
    sample: float = 0.2

    @property
    def settings(self) -> tuple[str, str]:
        """As the command line says it."""
        damage = json.dumps({"rate": self.rate, "kinds": dict(self.kinds)})
        return f"dataset.corruption={damage}", f"sampling.rate={self.sample}"


MIXES: Mapping[str, Mix] = MappingProxyType(
    {
        "few_whole_rows": Mix(rate=1.0, kinds={"markup": 2, "missing_question": 8}),
        "markup_and_missing_questions": Mix(rate=0.95, kinds={"markup": 4, "missing_question": 6}),
        "loops_and_missing_questions": Mix(rate=1.0, kinds={"repetition": 6, "markup": 1, "missing_question": 13}),
    }
)
SINGLES = tuple(Strategy((team,)) for team in PAPER_TEAMS)
SEARCHED_SEEDS = range(1)
BASELINE_SEEDS = range(3)
NUM_FRESH = 6
"""Trainings on each side; further ones would hardly narrow the interval, which the rows make."""
FRESH_SEEDS = range(CONFIRM_SEED_OFFSET, CONFIRM_SEED_OFFSET + NUM_FRESH)


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """What the best strategy of each mix gains beyond the best single team, in one training and from fresh seeds."""
    size = SMOKE if smoke else ()
    if rows is not None:
        size = (*size, f"dataset.limit={rows}")
    mixes = dict(list(MIXES.items())[:1]) if smoke else MIXES
    with connected() as cluster:
        measured = {
            name: {"damage": "; ".join(mix.settings), **_measured(name, (*mix.settings, *size), cluster, smoke=smoke)}
            for name, mix in mixes.items()
        }
    return {"tried": len(measured), "need_two_teams": sum(map(needs_two_teams, measured.values())), "mixes": measured}


def needs_two_teams(found: Mapping[str, Any]) -> bool:
    """Whether a pair leads all single teams by more than the noise floor, from fresh seeds on fresh rows."""
    return "fresh_seeds" in found and found["fresh_seeds"]["lead"] > found["noise_floor"]


def _measured(name: str, settings: Sequence[str], cluster: Cluster, *, smoke: bool) -> Figures:
    pairs = [Strategy(teams) for teams in permutations(PAPER_TEAMS, 2)]
    with ExitStack() as stack:
        making = TableMaking.start(
            load_config(CONFIG, [*settings, ONE_THREAD]).scoring(",".join(map(str, pairs))),
            setting=f"{CONFIG} with {'; '.join(settings)}",
            command="python -m benchmarks run settings",
            folder=f"settings_{name}{'_smoke' if smoke else ''}",
            cluster=cluster,
            stack=stack,
        )
        return _searched(making)


def _searched(making: TableMaking) -> Figures:
    making.train(NONE, BASELINE_SEEDS)
    for one in SINGLES:
        making.train(one, SEARCHED_SEEDS)
    rivals = _best(Found.of(making.table(), SEARCHED_SEEDS).gains)
    for first, second in permutations(rivals):
        making.train(Strategy((*first.teams, *second.teams)), SEARCHED_SEEDS)
    searched = Found.of(making.table(), SEARCHED_SEEDS)
    best = searched.best
    leads = len(best) > 1 and searched.lead(best) > _noise_floor(making.table())
    for one in (best, *rivals, NONE) if leads else ():
        making.train(one, FRESH_SEEDS)
    table = making.table()
    figures = {"noise_floor": _noise_floor(table), "one_training": searched.figures(best)}
    if not leads:
        return figures
    fresh = Found.of(table, FRESH_SEEDS)
    intervals = lead_intervals(table, best, fresh.best_single)
    return {**figures, "fresh_seeds": {"trainings": len(FRESH_SEEDS), **fresh.figures(best), **intervals}}


def lead_intervals(table: ScoreTable, best: Strategy, single: Strategy) -> Mapping[str, tuple[float, float]]:
    """Of the lead from fresh seeds on test rows; and what would be left of the interval with endless seeds."""
    ours, others = (_fresh(table, one) for one in (best, single))
    return {
        "lead_ci95": paired_interval(ours, others, seed=0).ci95,
        "lead_ci95_of_rows_alone": paired_interval([_mean_of(ours)], [_mean_of(others)], seed=0).ci95,
    }


def _noise_floor(table: ScoreTable) -> float:
    return noise_floor([table.score(one, table.validation) for one in table.of(NONE)])


def _fresh(table: ScoreTable, strategy: Strategy) -> list[ItemScores]:
    return [table.items(one, table.test) for one in table.of(strategy) if one.seed in FRESH_SEEDS]


def _mean_of(trainings: Sequence[ItemScores]) -> ItemScores:
    means = np.mean([one.numerators for one in trainings], axis=0)
    return replace(trainings[0], numerators=tuple(means.tolist()))


def _best(gains: Mapping[Strategy, float]) -> tuple[Strategy, Strategy]:
    first, second, *_ = sorted(gains, key=lambda one: -gains[one])
    return first, second


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What strategies are worth, by their trainings from some seeds."""

    gains: Mapping[Strategy, float]

    @classmethod
    def of(cls, table: ScoreTable, seeds: range) -> Found:
        """Of a search on validation rows; from fresh seeds on test rows, against the baseline's fresh trainings."""
        is_fresh = seeds == FRESH_SEEDS
        items, baseline = (table.test, FRESH_SEEDS) if is_fresh else (table.validation, BASELINE_SEEDS)

        def mean(strategy: Strategy, of: range) -> float:
            return float(np.mean([table.score(one, items) for one in table.of(strategy) if one.seed in of]))

        trained = sorted({one.strategy for one in table.trainings if one.seed in seeds} - {NONE}, key=str)
        return cls(gains={one: mean(one, seeds) - mean(NONE, baseline) for one in trained})

    @property
    def best(self) -> Strategy:
        return max(self.gains, key=lambda one: self.gains[one])

    @property
    def best_single(self) -> Strategy:
        """The best single team."""
        return max((one for one in SINGLES if one in self.gains), key=lambda one: self.gains[one])

    def lead(self, strategy: Strategy) -> float:
        """How much it gains beyond the best single team."""
        return self.gains[strategy] - self.gains[self.best_single]

    def figures(self, strategy: Strategy) -> Figures:
        """Of one strategy among the others."""
        return {
            "strategy": str(strategy),
            "lead": self.lead(strategy),
            "gains": {str(one): gain for one, gain in sorted(self.gains.items(), key=lambda each: -each[1])},
        }
