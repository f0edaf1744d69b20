"""Which of the scored strategies is confirmed and recommended: the shortest that cannot be told from the best.

The highest of many scores is often highest by chance, and every team costs time and may change meaning: so a longer
strategy must show in a paired comparison that it is better than a shorter one. Knows scores and items, no data.
"""

from __future__ import annotations

from collections.abc import Iterable

from autodp_ray.search.loop import Evaluated
from autodp_ray.statistics import NUM_RESAMPLES, paired_interval


def shortest_of_the_best(
    best: Evaluated, evaluated: Iterable[Evaluated], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Evaluated:
    """The best one, or a shorter one that gains too and whose paired interval to it includes zero.

    Of equally short ones that with the higher score is taken, then the earlier. Scores without known items are not
    compared.
    """

    def is_tied(one: Evaluated) -> bool:
        if not one.items or not best.items:
            return False
        return paired_interval(best.items, one.items, seed=seed, num_resamples=num_resamples).low <= 0

    shorter = [one for one in evaluated if one.score is not None and 0 < len(one.strategy) < len(best.strategy)]
    gaining = [one for one in shorter if one.estimate > 0]
    by_length = sorted(gaining, key=lambda one: (len(one.strategy), -one.estimate))
    return next(filter(is_tied, by_length), best)
