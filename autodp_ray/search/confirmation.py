"""How many fresh trainings decide a claim: a fixed number, or more while the interval still holds zero.

Every look at the interval spends a share of the error that the claim may make, so that the intervals of all looks
together hold the truth as often as one interval of a fixed number of seeds would. A look that has little hope ends the
confirmation too, which makes no claim and costs no error. Knows scores by item; trains nothing itself.

Source: Jennison and Turnbull, Group Sequential Methods, chapters 7 (error spending) and 9 (repeated intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from autodp_ray.statistics import LEVEL, NUM_RESAMPLES, Interval, ItemScores, paired_interval

Sides = tuple[Sequence[ItemScores], Sequence[ItemScores]]
FreshScores = Callable[[int, int], Sides]
"""The scores of so many trainings of the candidate and of the baseline, by seed; more are the same and others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """The interval on which a confirmation ended, and the trainings that it took on each side."""

    interval: Interval
    candidate: Sequence[ItemScores]
    baseline: Sequence[ItemScores]

    @property
    def num_trainings(self) -> int:
        """Of both sides together."""
        return len(self.candidate) + len(self.baseline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How many trainings a confirmation takes of the candidate and of the baseline."""

    candidate: int
    baseline: int
    most: int | None = None
    """Of the candidate, where seeds are added while nothing is decided; None ends at the first look."""

    @property
    def most_trainings(self) -> int:
        """Of both sides together."""
        return 2 * max(self.candidate, self.most or 0) + self.baseline - self.candidate

    def looks(self) -> Iterator[tuple[int, float]]:
        """The candidate's trainings at each look, twice those before, and the level of its interval.

        The error is spent in proportion to the trainings, and the levels add up whatever the looks have in common.
        """
        num, last, spent = self.candidate, max(self.candidate, self.most or 0), 0.0
        while True:
            share = num / last
            yield num, 1 - (1 - LEVEL) * (share - spent)
            if num == last:
                return
            num, spent = min(last, 2 * num), share

    def decide(self, train: FreshScores, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> LastLook:
        """Train until the interval lies above zero, the estimate does not, or all seeds are used."""
        for num, level in self.looks():
            num_baseline = self.baseline + num - self.candidate
            candidate, baseline = train(num, num_baseline)
            interval = paired_interval(candidate, baseline, seed=seed, num_resamples=num_resamples, level=level)
            if interval.low > 0 or interval.estimate <= 0:
                break
        return LastLook(interval=interval, candidate=candidate, baseline=baseline)
