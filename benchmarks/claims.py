"""How often a claim is false, and what gain a run can confirm: replayed and simulated on the strategy table's scores.

`null` plays baseline seeds as strategies: searches whose strategies are all alike, with the winner confirmed as a run
does it. `power` gives one strategy a known gain and asks how often a confirmation finds it: items are drawn from the
test rows, what a strategy changes item by item from the table's strategies, the noise of seeds from the baseline's
trainings. Intervals are those of a run, with fewer resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from autodp_ray.search.confirmation import Confirmation, Sides
from autodp_ray.statistics import Claim, Floats, ItemScores, decide_claim
from autodp_ray.strategy import NONE
from benchmarks.protocol import Figures
from benchmarks.score_table import ScoreTable, item_scores, read_table
from benchmarks.strategy_table import RESULT

DESIGNS: Mapping[str, Confirmation] = MappingProxyType(
    {
        "seeds_3_3": Confirmation(candidate=3, baseline=3),
        "seeds_3_6": Confirmation(candidate=3, baseline=6),
        "seeds_5_5": Confirmation(candidate=5, baseline=5),
        "sequential_3_to_8": Confirmation(candidate=3, baseline=3, most=8),
        "sequential_3_6_to_8": Confirmation(candidate=3, baseline=6, most=8),
    }
)
"""Trainings of the candidate and of the baseline."""
GAINS = (0.0, 0.01, 0.02, 0.025, 0.03, 0.04)
NUM_CANDIDATES = 17
NUM_SEARCHES, NUM_STUDIES, SMOKE_STUDIES = 600, 200, 5
NUM_RESAMPLES = 300
CONFIRMABLE = 0.8
"""The share of runs in which a gain must be confirmed to be called confirmable."""


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """False claims by design, and power by design and gain."""
    noise = Noise(read_table(RESULT))
    num_searches, num_studies = (SMOKE_STUDIES, SMOKE_STUDIES) if smoke else (NUM_SEARCHES, NUM_STUDIES)
    return {
        "table": noise.table.holds,
        "baseline_seeds": noise.num_seeds,
        "test_rows": noise.num_items,
        "sd_between_seeds": {
            "validation": noise.sd_between_seeds("validation"),
            "test": noise.sd_between_seeds("test"),
        },
        "sd_of_item_changes": noise.sd_of_item_changes,
        "null": {name: null_searches(noise, design, num=num_searches) for name, design in DESIGNS.items()},
        "power": {name: power(noise, design, num=num_studies) for name, design in DESIGNS.items()},
    }


class Noise:
    """What the table says of trainings that differ in nothing but their seed, and of what strategies change."""

    def __init__(self, table: ScoreTable) -> None:
        self.table = table
        self.baseline = np.stack([one.numerators for one in table.of(NONE)])
        self.num_seeds = len(self.baseline)
        self.test_denominators = table.denominators[table.test]
        self.num_items = len(self.test_denominators)

    def sd_between_seeds(self, split: str) -> float:
        """Standard deviation of r between seeds of the baseline."""
        items = self.table.validation if split == "validation" else self.table.test
        return float(np.std([self.table.score(one, items) for one in self.table.of(NONE)], ddof=1))

    @property
    def sd_of_item_changes(self) -> float:
        """Standard deviation between items of what a strategy changes per unit of the denominator."""
        return float(np.mean([(change / self.test_denominators).std() for change in self.changes]))

    @cached_property
    def changes(self) -> Floats:
        """Numerators [C, N] that each strategy of the table adds to the baseline's mean on test items, none in all."""
        mean = self.baseline[:, self.table.test].mean(axis=0)
        found = []
        for strategy in self.table.strategies:
            own = np.mean([one.numerators[self.table.test] for one in self.table.of(strategy)], axis=0) - mean
            found.append(own - self.test_denominators * own.sum() / self.test_denominators.sum())
        return np.stack(found)


@dataclass(frozen=True, slots=True)
class _Trainings:
    """Trainings of both sides, drawn in advance: a confirmation takes as many as it wants."""

    candidate: Sequence[ItemScores]
    baseline: Sequence[ItemScores]

    def __call__(self, num_candidate: int, num_baseline: int) -> Sides:
        return self.candidate[:num_candidate], self.baseline[:num_baseline]


def null_searches(noise: Noise, design: Confirmation, *, num: int) -> Mapping[str, float]:
    """Searches among strategies that are all the baseline; each draws its trainings anew without putting back.

    A sequential design needs more trainings than there are; its later looks draw from the strategies that lost.
    """
    table, test = noise.table, noise.table.test
    validation = np.array([table.score(one, table.validation) for one in table.of(NONE)])
    claims = []
    for search in range(num):
        order = np.random.default_rng([search, 7]).permutation(noise.num_seeds)
        base, tried = order[:3], order[3 : 3 + NUM_CANDIDATES]
        winner = tried[int(np.argmax(validation[tried]))]
        score = float(validation[winner] - validation[base].mean())
        fresh = [*order[3 + NUM_CANDIDATES :], *(one for one in tried if one != winner)]
        most = max(num for num, _ in design.looks())
        candidate = [item_scores(noise.baseline[at][test], noise.test_denominators) for at in fresh[:most]]
        others = fresh[most : 2 * most + design.baseline - design.candidate]
        baseline = [item_scores(noise.baseline[at][test], noise.test_denominators) for at in others]
        decided = design.decide(_Trainings(candidate, baseline), seed=search, num_resamples=NUM_RESAMPLES)
        claims.append(decide_claim(validation_score=score, test=decided.interval))
    confirmed = float(np.mean([claim is Claim.CONFIRMED for claim in claims]))
    return {"searches": num, "false_claims": confirmed, "candidates": NUM_CANDIDATES}


def power(noise: Noise, design: Confirmation, *, num: int) -> Mapping[str, object]:
    """How often a gain is confirmed, how often the interval holds it, and what it takes, by gain."""
    by_gain = {f"gain_{round(1000 * gain):03d}": _studies(noise, design, gain=gain, num=num) for gain in GAINS}
    found = {gain: by_gain[f"gain_{round(1000 * gain):03d}"]["confirmed"] for gain in GAINS}
    return {**by_gain, "confirmable_gain": confirmable(found)}


def confirmable(confirmed: Mapping[float, float]) -> float | None:
    """The least gain that is confirmed in four of five runs, between the measured ones on a straight line."""
    gains = sorted(confirmed)
    for low, high in pairwise(gains):
        if confirmed[low] < CONFIRMABLE <= confirmed[high]:
            return low + (high - low) * (CONFIRMABLE - confirmed[low]) / (confirmed[high] - confirmed[low])
    return None


def _studies(noise: Noise, design: Confirmation, *, gain: float, num: int) -> dict[str, float]:
    confirmed, covered, trainings = 0, 0, 0
    for study in range(num):
        rng = np.random.default_rng([study, round(1000 * gain)])
        decided = design.decide(_drawn(noise, design, gain=gain, rng=rng), seed=study, num_resamples=NUM_RESAMPLES)
        confirmed += decided.interval.low > 0
        covered += decided.interval.low <= gain <= decided.interval.high
        trainings += decided.num_trainings
    return {"confirmed": confirmed / num, "coverage": covered / num, "trainings": trainings / num}


def _drawn(noise: Noise, design: Confirmation, *, gain: float, rng: np.random.Generator) -> _Trainings:
    """Trainings of a strategy with a known gain, and of the baseline, on test items drawn with putting back."""
    most = max(num for num, _ in design.looks())
    items = rng.integers(noise.num_items, size=noise.num_items)
    seeds = rng.permutation(noise.num_seeds)
    change = noise.changes[rng.integers(len(noise.changes))] + gain * noise.test_denominators
    scores = noise.baseline[:, noise.table.test]
    denominators = noise.test_denominators[items]
    candidate = [item_scores((scores[at] + change)[items], denominators) for at in seeds[:most]]
    others = seeds[most : 2 * most + design.baseline - design.candidate]
    return _Trainings(candidate, [item_scores(scores[at][items], denominators) for at in others])
