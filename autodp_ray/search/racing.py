"""The last step of a search: its leaders are trained once more, from another seed, before one of them is chosen.

The highest of many scores from one training each is often highest by chance; a second look at a few costs little.
Source: successive halving, Jamieson and Talwalkar, arXiv 1502.07943, with one rung.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from autodp_ray.search.loop import Evaluated, Round, RoundFn, SearchOutcome

RACE = "race"
"""The source of the round that it adds."""
RACE_WORDS = "a leader, scored from two seeds"

AgainFn = Callable[[Sequence[Evaluated]], Sequence[Evaluated]]
"""Trains strategies from another seed; their scores are then those of both seeds."""


def race(outcome: SearchOutcome, *, num_leaders: int, again: AgainFn, on_round: RoundFn) -> SearchOutcome:
    """The outcome with one more round, in which the leaders meet again; without any where there is one at most."""
    each_once = {one.strategy: one for one in outcome.scored}.values()
    leaders = sorted(each_once, key=lambda one: (-one.estimate, len(one.strategy)))[:num_leaders]
    if len(leaders) < 2:
        return outcome
    added = Round(number=len(outcome.rounds) + 1, source=RACE, evaluated=tuple(again(leaders)))
    on_round(added)
    finalists = tuple(one for one in added.evaluated if one.score is not None)
    return replace(outcome, rounds=(*outcome.rounds, added), finalists=finalists)
