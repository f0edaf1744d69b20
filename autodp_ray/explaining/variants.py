"""The variants of a strategy that differ from it in one thing: an operator or team left out, two neighbours swapped.

Knows strategies and recipes. Runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count

from autodp_ray.config.run_config import Config
from autodp_ray.config.teams_config import TeamSpec
from autodp_ray.reporting.explanation import StrategyPart
from autodp_ray.strategy import MAX_TEAM_NAME, NONE, Strategy, Team


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A strategy that lacks a part of another one."""

    part: StrategyPart
    strategy: Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """All variants of a strategy, and the config with the teams that they are made of."""

    config: Config
    variants: tuple[Variant, ...]


def variants_of(strategy: Strategy, config: Config) -> Variants:
    """One variant for each operator of a team that has several, each team, and each pair of neighbours.

    A team without one of its operators is a team of its own, whose work is found in the cache like any other's.
    """
    found: list[Variant] = []
    teams: dict[Team, TeamSpec] = {}
    for place, team in enumerate(strategy.teams):
        spec = config.teams.team(team)
        for at, operator in enumerate(spec.recipe if len(spec.recipe) > 1 else ()):
            name = _name(team, operator.name, taken=(*config.teams.names, *teams))
            teams[name] = spec.model_copy(update={"recipe": (*spec.recipe[:at], *spec.recipe[at + 1 :])})
            part = StrategyPart(kind="operator", name=operator.name, team=team)
            found.append(Variant(part=part, strategy=Strategy(_replaced(strategy.teams, place, (name,)))))
    found += [*_without_a_team(strategy), *_swapped(strategy)]
    search = config.search.model_copy(update={"teams": (*config.search.teams, *teams)})
    changed = {"teams": config.teams.model_copy(update=teams), "search": search}
    wanted = [strategy, *(one.strategy for one in found if one.strategy != NONE)]
    whole = config.model_copy(update=changed).scoring(",".join(map(str, dict.fromkeys(wanted))))
    return Variants(config=whole, variants=tuple(found))


def _name(team: Team, operator: str, *, taken: Collection[Team]) -> Team:
    """What a team without one of its operators is called while it works."""
    words = re.sub(r"[^a-z0-9_]", "_", f"{team}_without_{operator}".lower())
    names = chain([words[:MAX_TEAM_NAME]], (f"{words[: MAX_TEAM_NAME - 3]}_{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def _without_a_team(strategy: Strategy) -> Iterator[Variant]:
    for place, team in enumerate(strategy.teams):
        part = StrategyPart(kind="team", name=team, team=team)
        yield Variant(part=part, strategy=Strategy(_replaced(strategy.teams, place, ())))


def _swapped(strategy: Strategy) -> Iterator[Variant]:
    for place in range(len(strategy) - 1):
        first, second = strategy.teams[place : place + 2]
        yield Variant(
            part=StrategyPart(kind="order", name=f"{first} before {second}"),
            strategy=Strategy((*strategy.teams[:place], second, first, *strategy.teams[place + 2 :])),
        )


def _replaced(teams: Sequence[Team], place: int, by: Sequence[Team]) -> tuple[Team, ...]:
    return (*teams[:place], *by, *teams[place + 1 :])
