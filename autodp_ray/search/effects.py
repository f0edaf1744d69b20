"""An estimate of what teams add to a score: Bayesian linear regression on a strategy's teams, places and neighbours.

A strategy's score is taken as a sum: an effect of each team that is in it, one of the place at which the team works,
and one of the team directly before it. Effects are drawn to zero, those of place and order more strongly, as far as the
scores' likelihood says. Knows strategies and numbers only.

Source: Bishop, Pattern Recognition and Machine Learning, 3.3 (posterior) and 3.5 (evidence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from autodp_ray.search.proposal import Effect, Feedback
from autodp_ray.statistics import NOISE_FLOOR_PER_SD, Floats
from autodp_ray.strategy import Strategy, Team

_ORDER_SHARE = 0.5
"""Standard deviation of an effect of place or order over that of a team's, before any score."""
_SCALES = tuple(2.0**power for power in range(-3, 7))
"""Standard deviations of a team's effect that are weighed against each other, in those of the noise."""
_LEAST_NOISE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectEstimate:
    """Effects as a normal distribution: means [D] and covariance [D, D] of one column for each effect."""

    teams: tuple[Team, ...]
    mean: Floats
    covariance: Floats
    noise_sd: float

    def expected(self, strategies: Sequence[Strategy]) -> tuple[Floats, Floats]:
        """Means [N] and standard deviations [N] of the strategies' true scores."""
        columns = _columns(strategies, self.teams)
        variance = (columns @ self.covariance * columns).sum(axis=1)
        return columns @ self.mean, np.sqrt(np.maximum(variance, 0.0))

    def drawn(self, strategies: Sequence[Strategy], *, rng: np.random.Generator) -> Floats:
        """The strategies' scores [N] under one draw of all effects."""
        effects = rng.multivariate_normal(self.mean, self.covariance, method="eigh")
        scores: Floats = _columns(strategies, self.teams) @ effects
        return scores

    def with_trial(self, strategy: Strategy) -> EffectEstimate:
        """The estimate after one more score of the strategy that is as expected: surer, and otherwise the same."""
        column = _columns([strategy], self.teams)[0]
        shared = self.covariance @ column
        covariance = self.covariance - np.outer(shared, shared) / (self.noise_sd**2 + column @ shared)
        return EffectEstimate(teams=self.teams, mean=self.mean, covariance=covariance, noise_sd=self.noise_sd)

    def effects(self, scored: Sequence[Strategy]) -> tuple[Effect, ...]:
        """Those of the teams and of pairs in their order of which a scored strategy says something."""
        sds = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        seen = _columns(scored, self.teams).sum(axis=0)
        names = [*((team,) for team in self.teams), *permutations(self.teams, 2)]
        return tuple(
            Effect(of=Strategy(name), mean=float(self.mean[at]), sd=float(sds[at]))
            for at, name in enumerate(names)
            if seen[at] > 0
        )


def estimate_effects(feedback: Feedback, teams: Sequence[Team]) -> EffectEstimate:
    """What the scores so far say of every effect; failed strategies say nothing."""
    own = tuple(teams)
    results = [one for each in feedback.rounds for one in each.results if one.score is not None]
    scores = np.asarray([one.score for one in results], dtype=np.float64)
    columns = _columns([one.strategy for one in results], own)
    noise_sd = max(
        (feedback.noise_floor or 0.0) / NOISE_FLOOR_PER_SD, 1e-3 * np.abs(scores).max(initial=0), _LEAST_NOISE
    )
    scale = max(
        _SCALES, key=lambda one: _evidence(columns, scores, sds=one * noise_sd * _shares(own), noise_sd=noise_sd)
    )
    precision = np.diag((scale * noise_sd * _shares(own)) ** -2) + columns.T @ columns / noise_sd**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ columns.T @ scores / noise_sd**2
    return EffectEstimate(teams=own, mean=mean, covariance=(covariance + covariance.T) / 2, noise_sd=float(noise_sd))


def _evidence(columns: Floats, scores: Floats, *, sds: Floats, noise_sd: float) -> float:
    """Log likelihood of the scores under effects of these standard deviations, but for a constant."""
    spread = (columns * sds**2) @ columns.T + noise_sd**2 * np.eye(len(scores))
    _, log_size = np.linalg.slogdet(spread)
    return -0.5 * float(log_size + scores @ np.linalg.solve(spread, scores))


def _shares(teams: tuple[Team, ...]) -> Floats:
    """Each effect's standard deviation [D] over that of a team's."""
    num_order = len(teams) * (len(teams) - 1)
    return np.asarray([1.0] * len(teams) + [_ORDER_SHARE] * (num_order + len(teams) ** 2))


def _columns(strategies: Sequence[Strategy], teams: tuple[Team, ...]) -> Floats:
    """Which effects each strategy holds [N, D]: teams, then pairs as `permutations` orders them, then places."""
    pairs = {pair: len(teams) + at for at, pair in enumerate(permutations(teams, 2))}
    first_place = len(teams) + len(pairs)
    columns = np.zeros((len(strategies), first_place + len(teams) ** 2))
    for row, strategy in enumerate(strategies):
        own = [team for team in strategy.teams if team in teams]
        numbers = [teams.index(team) for team in own]
        columns[row, numbers] = 1
        columns[row, [pairs[pair] for pair in pairwise(own)]] = 1
        columns[row, [first_place + number * len(teams) + at for at, number in enumerate(numbers)]] = 1
    return columns
