"""What scores can be said to show: paired intervals over items and seeds, the noise floor, the claim.

Knows per-item numbers only. Knows no evaluator, no strategy and no text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist, stdev

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NUM_RESAMPLES = 2000
LEVEL = 0.95
MIN_BASELINE_SEEDS = 3
NOISE_FLOOR_PER_SD = 1.96 * math.sqrt(2)
"""What two scores of the same data may differ by, over the standard deviation of one."""
LARGEST_SCORE = 1e50
"""Beyond what a model's 32-bit numbers can hold; sums and squares of such scores are numbers too."""
_MAX_WEIGHTS = 4_000_000
"""Item weights held at once (B x N), 32 MB."""


class Claim(StrEnum):
    """What a finished search may say about its best strategy."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemScores:
    """One model's scores on held-out items; r = sum(numerators) / sum(denominators), higher is better.

    Token loss: numerator = -sum of token NLL, denominator = number of tokens. A judge in both orders: wins minus
    losses, over 2. A plain per-item score: the score, over 1.
    """

    ids: tuple[str, ...]
    numerators: tuple[float, ...]
    denominators: tuple[float, ...]

    def __post_init__(self) -> None:
        sizes = len(self.ids), len(self.numerators), len(self.denominators)
        if len(set(sizes)) != 1 or not self.ids:
            raise ValueError(f"ids, numerators and denominators must be equally long and not empty, got {sizes}")
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("item ids must be unique")
        if not all(math.isfinite(value) for value in (*self.numerators, *self.denominators)):
            raise ValueError("item scores must be finite numbers")
        if min(self.denominators) <= 0:
            raise ValueError(f"every denominator must be above zero, got {min(self.denominators)}")
        ratios = (abs(ours) / weight for ours, weight in zip(self.numerators, self.denominators, strict=True))
        if max(*ratios, *self.denominators) > LARGEST_SCORE:
            raise ValueError(f"item scores and denominators must be at most {LARGEST_SCORE:g} in size")

    @classmethod
    def of_values(cls, ids: Sequence[str], values: Sequence[float]) -> ItemScores:
        """Items that all weigh the same: r is the mean of the values."""
        numerators = tuple(float(value) for value in values)
        return cls(ids=tuple(ids), numerators=numerators, denominators=(1.0,) * len(numerators))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate of s = r - r_0 with a two-sided interval around it."""

    estimate: float
    low: float
    high: float
    level: float = LEVEL
    """How often so made an interval holds the truth; more where it is one of several looks."""

    @property
    def ci95(self) -> tuple[float, float]:
        """The two ends, as result.json writes them."""
        return self.low, self.high


def score(items: ItemScores) -> float:
    """r of one model."""
    return math.fsum(items.numerators) / math.fsum(items.denominators)


def paired_interval(
    candidate: Sequence[ItemScores],
    baseline: Sequence[ItemScores],
    *,
    seed: int,
    noise: Sequence[ItemScores] = (),
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Percentile bootstrap interval of s = mean r of the candidate's seeds minus mean r of the baseline's seeds.

    Each entry is one training seed. Items are drawn once for both sides, since both answer the same items. Seeds are
    drawn per side. The spread of both is corrected (see `_item_factor` and `_seed_factor`), since a plain bootstrap of
    few items or seeds covers far less than it says; one item alone shows no spread of items. A side of one seed shows
    no spread and takes that of the other side. Where both have one, both take that of `noise`, the seeds of a third
    strategy; without them the interval speaks of the items alone. Two sides of the same scores are the same trainings,
    and differ by exactly zero.

    Raises:
        ValueError: a side is empty or the sides do not answer the same items.
    """
    if not candidate or not baseline:
        raise ValueError("an interval needs at least one seed on each side")
    if list(candidate) == list(baseline):
        return Interval(estimate=0.0, low=0.0, high=0.0)
    ids = candidate[0].ids
    shown = (candidate, baseline, noise) if noise and len(candidate) == len(baseline) == 1 else (candidate, baseline)
    widening = _t_over_z(sum(len(seeds) - 1 for seeds in shown), level=level)
    sides = [_side(seeds, ids=ids, widening=widening) for seeds in shown]
    factor = _item_factor(len(ids), level=level)
    rng = np.random.default_rng(seed)
    batch = max(1, _MAX_WEIGHTS // len(ids))
    sizes = [min(batch, num_resamples - start) for start in range(0, num_resamples, batch)]
    draws = [_draw(sides, item_factor=factor, rng=rng, size=size) for size in sizes]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail])
    estimate = _mean_score(candidate) - _mean_score(baseline)
    return Interval(estimate=estimate, low=float(low), high=float(high), level=level)


def _mean_score(seeds: Sequence[ItemScores]) -> float:
    return math.fsum(score(items) for items in seeds) / len(seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """Numerators and denominators [N, S] of one side, and what its spread between seeds is multiplied by."""

    numerators: Floats
    denominators: Floats
    seed_factor: float

    @property
    def by_seed(self) -> Floats:
        """r of each seed [S]."""
        scores: Floats = self.numerators.sum(axis=0) / self.denominators.sum(axis=0)
        return scores


def _side(seeds: Sequence[ItemScores], *, ids: tuple[str, ...], widening: float) -> _Side:
    """One side's scores in the order of `ids`."""
    numerators, denominators = np.empty((len(ids), len(seeds))), np.empty((len(ids), len(seeds)))
    for column, items in enumerate(seeds):
        place = {item_id: at for at, item_id in enumerate(items.ids)}
        if place.keys() != set(ids):
            raise ValueError(f"scores of {len(place)} items cannot be paired with scores of {len(ids)} other items")
        order = [place[item_id] for item_id in ids]
        numerators[:, column] = np.asarray(items.numerators)[order]
        denominators[:, column] = np.asarray(items.denominators)[order]
    factor = widening * _seed_factor(numerators, denominators)
    return _Side(numerators=numerators, denominators=denominators, seed_factor=factor)


def _item_factor(num_items: int, *, level: float) -> float:
    """Makes the bootstrap's spread between items as wide as Student's interval of a mean is over so many items."""
    return math.sqrt(num_items / max(1, num_items - 1)) * _t_over_z(num_items - 1, level=level)


def _seed_factor(numerators: Floats, denominators: Floats) -> float:
    """Makes the bootstrap's spread between seeds unbiased: sqrt(S / (S - 1)), less what the items already account for.

    The variance between seed means holds the items' own noise within each seed, which drawing items counts as well;
    that part, estimated from the interaction of items and seeds, is taken out here.
    """
    num_items, num_seeds = numerators.shape
    if num_seeds == 1 or num_items == 1:
        return math.sqrt(num_seeds / max(1, num_seeds - 1))
    by_seed = numerators.sum(axis=0) / denominators.sum(axis=0)
    influence = (numerators - by_seed * denominators) / denominators.mean(axis=0)
    interaction = influence - influence.mean(axis=1, keepdims=True)
    within = float((interaction**2).sum()) / ((num_items - 1) * (num_seeds - 1) * num_items)
    between = float(by_seed.var(ddof=1))
    share = max(0.0, 1 - within / between) if between > 0 else 0.0
    return math.sqrt(share * num_seeds / (num_seeds - 1))


def _draw(sides: Sequence[_Side], *, item_factor: float, rng: np.random.Generator, size: int) -> Floats:
    """Resampled s [size]: the first side minus the second, with one draw of items for all."""
    num_items = sides[0].numerators.shape[0]
    weights = rng.multinomial(num_items, np.full(num_items, 1 / num_items), size=size).astype(np.float64)
    scores = [
        side.by_seed + item_factor * ((weights @ side.numerators) / (weights @ side.denominators) - side.by_seed)
        for side in sides
    ]
    spreads = [
        side.seed_factor * (by_seed - by_seed.mean(axis=1, keepdims=True))
        for side, by_seed in zip(sides, scores, strict=True)
    ]
    lent = max(spreads, key=lambda spread: spread.shape[1])
    ours, theirs = (
        _resampled_mean(by_seed, spread if spread.shape[1] > 1 else lent, rng=rng)
        for by_seed, spread in zip(scores[:2], spreads[:2], strict=True)
    )
    return ours - theirs


def _resampled_mean(by_seed: Floats, spread: Floats, *, rng: np.random.Generator) -> Floats:
    """The mean r [B] of freshly drawn seeds: that of the seeds there are [B, S], moved by deviations drawn [B, S']."""
    size, num_seeds = by_seed.shape
    shares = rng.multinomial(num_seeds, np.full(spread.shape[1], 1 / spread.shape[1]), size=size) / num_seeds
    mean: Floats = by_seed.mean(axis=1) + (shares * spread).sum(axis=1)
    return mean


def _t_over_z(degrees: int, *, level: float) -> float:
    """Student's t quantile over the normal one, by the Cornish-Fisher expansion; 1 without degrees of freedom."""
    if degrees < 1:
        return 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    first = (z**2 + 1) / (4 * degrees)
    second = (5 * z**4 + 16 * z**2 + 3) / (96 * degrees**2)
    third = (3 * z**6 + 19 * z**4 + 17 * z**2 - 15) / (384 * degrees**3)
    return 1 + first + second + third


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p-value of so uneven a number of wins and losses where both are equally likely; ties are out."""
    num = wins + losses
    tail = ways = 1
    for count in range(min(wins, losses)):
        ways = ways * (num - count) // (count + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << num))


def noise_floor(baseline_scores: Sequence[float]) -> float:
    """What two runs of the same strategy may differ by: 1.96 * sqrt(2) * sd of r over baseline seeds.

    Raises:
        ValueError: fewer than three scores, or one that is not a finite number.
    """
    if len(baseline_scores) < MIN_BASELINE_SEEDS:
        raise ValueError(f"a noise floor needs {MIN_BASELINE_SEEDS} baseline seeds, got {len(baseline_scores)}")
    if not all(math.isfinite(value) for value in baseline_scores):
        raise ValueError(f"baseline scores must be finite numbers, got {list(baseline_scores)}")
    return NOISE_FLOOR_PER_SD * stdev(baseline_scores)


def confirmable_gain(interval: tuple[float, float], *, level: float = LEVEL) -> float:
    """The true gain of which four of five intervals as wide and of the same level as this one lie above zero."""
    half = (interval[1] - interval[0]) / 2
    return half * (1 + NormalDist().inv_cdf(0.8) / NormalDist().inv_cdf((1 + level) / 2))


def decide_claim(*, validation_score: float | None, test: Interval | None) -> Claim:
    """What may be claimed, from the top s on validation and the interval of s on the test set.

    `none`: nothing was scored or nothing beat the baseline on validation. `confirmed`: the test interval lies above
    zero. Everything else, a test set that was not read included, is `unconfirmed`.
    """
    if validation_score is None or not validation_score > 0:
        return Claim.NONE
    if test is not None and test.low > 0:
        return Claim.CONFIRMED
    return Claim.UNCONFIRMED
