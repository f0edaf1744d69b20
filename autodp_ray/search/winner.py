"""Which of the scored strategies is confirmed and recommended: the shortest within one standard error of the best.

The highest of many scores is often highest by chance, and every team costs time and may change meaning: so a longer
strategy must show in a paired comparison that it is better than a shorter one. Where each was trained once, how far
two trainings differ by their seeds alone is seen from the baseline. Knows scores and items, no data.

Source: the one-standard-error rule, Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, section 7.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autodp_ray.search.loop import Evaluated
from autodp_ray.statistics import NUM_RESAMPLES, ItemScores, paired_interval

ONE_STANDARD_ERROR = 0.6827
"""The level of an interval that reaches one standard error to both sides."""


def shortest_of_the_best(
    best: Evaluated,
    evaluated: Iterable[Evaluated],
    *,
    baseline: Sequence[ItemScores],
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
    level: float = ONE_STANDARD_ERROR,
) -> Evaluated:
    """The best one, or a shorter one that gains too and whose paired interval to it includes zero.

    Of equally short ones that with the higher score is taken, then the earlier. Scores without known items are not
    compared. `baseline` is the scores of no processing, of each seed.
    """

    def is_tied(one: Evaluated) -> bool:
        if not one.items or not best.items:
            return False
        between = paired_interval(
            best.items, one.items, noise=baseline, seed=seed, num_resamples=num_resamples, level=level
        )
        return between.low <= 0

    shorter = [one for one in evaluated if one.score is not None and 0 < len(one.strategy) < len(best.strategy)]
    gaining = [one for one in shorter if one.estimate > 0]
    by_length = sorted(gaining, key=lambda one: (len(one.strategy), -one.estimate))
    return next(filter(is_tied, by_length), best)
