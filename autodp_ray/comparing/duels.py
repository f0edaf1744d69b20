"""Wins, ties and losses of models against models on the same items, with what they show. Knows scores, no models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from autodp_ray.evaluators.judge import abstained_frac
from autodp_ray.statistics import Floats, Interval, ItemScores, paired_interval, sign_test


@dataclass(frozen=True, slots=True, kw_only=True)
class Bout:
    """Two models on the same items; where a judge compares them, the scores of theirs are zero."""

    ours: ItemScores
    theirs: ItemScores
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the evaluator counted: of a judge, its verdicts."""

    @property
    def is_tie(self) -> bool:
        """Whether both sides score the same on every item, as a model does that meets itself."""
        return self.ours == self.theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a number of bouts shows."""

    wins: float
    ties: float
    losses: float
    num_items: int
    interval: Interval
    sign_test_p: float
    position_bias: float | None
    abstained_frac: float | None


def figures(bouts: Sequence[Bout], *, seed: int, num_resamples: int) -> Figures:
    """Shares of items by the mean difference over the bouts, and the difference of r with its interval."""
    margins = _margins(_as_one(bouts))
    wins, losses = int((margins > 0).sum()), int((margins < 0).sum())
    interval = paired_interval(
        [bout.ours for bout in bouts], [bout.theirs for bout in bouts], seed=seed, num_resamples=num_resamples
    )
    counts = _counted(bouts)
    first, second = counts["judge_first"], counts["judge_second"]
    return Figures(
        wins=wins / len(margins),
        ties=(len(margins) - wins - losses) / len(margins),
        losses=losses / len(margins),
        num_items=len(margins),
        interval=interval,
        sign_test_p=sign_test(wins, losses),
        position_bias=(first - second) / (first + second) if first + second else None,
        abstained_frac=abstained_frac(counts),
    )


def figures_over_repeats(repeats: Sequence[Sequence[Bout]], *, seed: int, num_resamples: int) -> Figures:
    """What the repeats of two searches show together, each of them with a bout for every seed.

    Repeats that chose the same strategy share its models, so that each repeat is no draw of its own: only models of
    different seeds are, and those of one seed count as one model on each side. A repeat in which both searches chose
    the same strategy ties, whatever the seeds.
    """
    decided = [bouts for bouts in repeats if not all(bout.is_tie for bout in bouts)]
    by_seed = [_as_one(each) for each in zip(*(decided or repeats), strict=True)]
    found = figures(by_seed, seed=seed, num_resamples=num_resamples)
    share = len(decided) / len(repeats)
    interval = Interval(
        estimate=share * found.interval.estimate, low=share * found.interval.low, high=share * found.interval.high
    )
    return replace(found, interval=interval)


def _as_one(bouts: Sequence[Bout]) -> Bout:
    """Models as one model on each side."""
    return Bout(
        ours=_summed([bout.ours for bout in bouts]),
        theirs=_summed([bout.theirs for bout in bouts]),
        counts=_counted(bouts),
    )


def _counted(bouts: Sequence[Bout]) -> Counter[str]:
    return sum((Counter(bout.counts) for bout in bouts), Counter())


def _summed(models: Sequence[ItemScores]) -> ItemScores:
    """Sums in which the order of the models leaves no trace, so that sides of the same models tie on every item."""
    ids = models[0].ids
    numerators = [dict(zip(each.ids, each.numerators, strict=True)) for each in models]
    denominators = [dict(zip(each.ids, each.denominators, strict=True)) for each in models]
    return ItemScores(
        ids=ids,
        numerators=tuple(math.fsum(each[item] for each in numerators) for item in ids),
        denominators=tuple(math.fsum(each[item] for each in denominators) for item in ids),
    )


def _margins(bout: Bout) -> Floats:
    """Ours minus theirs [N], in the order of our items."""
    theirs = dict(zip(bout.theirs.ids, _values(bout.theirs), strict=True))
    margins: Floats = _values(bout.ours) - np.array([theirs[item] for item in bout.ours.ids])
    return margins


def _values(items: ItemScores) -> Floats:
    values: Floats = np.asarray(items.numerators) / np.asarray(items.denominators)
    return values
