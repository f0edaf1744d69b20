"""Scores of a search, as tests write them."""

from __future__ import annotations

from collections.abc import Mapping

from autodp_ray.search.proposal import Feedback, RoundScores, StrategyScore
from autodp_ray.strategy import Strategy


def feedback(*rounds: Mapping[str, float | None], noise_floor: float = 0.1) -> Feedback:
    """What was measured in rounds such as `{"cleaning": 0.2}`."""
    return Feedback(
        rounds=tuple(
            RoundScores(
                round=number,
                results=tuple(StrategyScore(strategy=Strategy.from_text(name), score=s) for name, s in scores.items()),
            )
            for number, scores in enumerate(rounds, start=1)
        ),
        baseline_score=-2.0,
        noise_floor=noise_floor,
    )
