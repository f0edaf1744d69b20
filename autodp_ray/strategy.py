"""Teams, strategies, and the space of strategies that a search walks through.

Knows the names and the order of teams and what a round of strategies shares. Knows no operators, scores or data.

Source: LLM-AutoDP, section 3.2 (search space) and 3.3.4 (shared prefixes).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TypeAlias

from operators.contract.errors import InputError

Team: TypeAlias = str
"""The name of a recipe of operators that works as one step of a strategy."""

PAPER_TEAMS: tuple[Team, ...] = ("cleaning", "optimization", "generation", "selection")
"""Those that every config has; it may name more."""
NO_PROCESSING = "none"
SEPARATOR = ">"
MAX_TEAM_NAME = 40
TEAM_NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{MAX_TEAM_NAME - 1}}}")
"""How a team may be called."""


def require_team_name(name: str) -> None:
    """Raises: ValueError for what cannot stand in a strategy as the name of a team."""
    if not TEAM_NAME.fullmatch(name) or name == NO_PROCESSING:
        raise ValueError(
            f"{name[:MAX_TEAM_NAME]!r} cannot name a team: write up to {MAX_TEAM_NAME} small letters, digits and "
            f"underscores that begin with a letter, and not {NO_PROCESSING!r}"
        )


@dataclass(frozen=True, slots=True)
class Strategy:
    """An ordered tuple of distinct teams; the empty one is "no processing" and reads `none`."""

    teams: tuple[Team, ...] = ()

    def __post_init__(self) -> None:
        for team in self.teams:
            require_team_name(team)
        object.__setattr__(self, "teams", tuple(self.teams))
        if len(set(self.teams)) != len(self.teams):
            raise ValueError(f"a strategy uses each team at most once, got {self.text}")

    @property
    def text(self) -> str:
        """The text form, as in `cleaning>optimization` or `none`."""
        return SEPARATOR.join(self.teams) or NO_PROCESSING

    def __str__(self) -> str:
        return self.text

    def __len__(self) -> int:
        return len(self.teams)

    def __bool__(self) -> bool:
        return bool(self.teams)

    @property
    def parent(self) -> Strategy:
        """The strategy without its last team; the empty strategy is its own parent."""
        return Strategy(self.teams[:-1])

    def prefixes(self) -> tuple[Strategy, ...]:
        """Every non-empty prefix, shortest first; the last one is the strategy itself."""
        return tuple(Strategy(self.teams[: end + 1]) for end in range(len(self.teams)))

    def neighbours(self, teams: Sequence[Team] = PAPER_TEAMS) -> tuple[Strategy, ...]:
        """Strategies one edit away: append, delete, insert, swap, in this order and without repeats.

        Appends come first because they reuse all work already done for this strategy.
        """
        own, free = self.teams, [team for team in teams if team not in self.teams]
        appended = [(*own, team) for team in free]
        deleted = [own[:at] + own[at + 1 :] for at in reversed(range(len(own)))]
        inserted = [(*own[:at], team, *own[at:]) for at in range(len(own)) for team in free]
        swapped = [_swap(own, first, second) for first, second in combinations(range(len(own)), 2)]
        return tuple(dict.fromkeys(Strategy(edit) for edit in appended + deleted + inserted + swapped))

    @classmethod
    def from_text(cls, text: str) -> Strategy:
        """The strategy that `text` wrote, whatever its teams are called; for what a user wrote there is `parse`."""
        return cls() if text == NO_PROCESSING else cls(tuple(text.split(SEPARATOR)))

    @classmethod
    def parse(cls, text: str, *, teams: Sequence[Team] = PAPER_TEAMS) -> Strategy:
        """The strategy that a text form names, made of the given teams only.

        Raises:
            InputError: a name is unknown, switched off or repeated; the message names the nearest team.
        """
        names = [name.strip().lower() for name in text.split(SEPARATOR)]
        if names == [NO_PROCESSING]:
            return cls()
        chosen = [_parse_team(name, whole=text, teams=teams) for name in names]
        if len(set(chosen)) != len(chosen):
            repeated = next(team for team in chosen if chosen.count(team) > 1)
            raise InputError(f"strategy {text!r} uses {repeated!r} twice; each team may work once in a strategy")
        return cls(tuple(chosen))


NONE = Strategy()


def _swap(own: tuple[Team, ...], first: int, second: int) -> tuple[Team, ...]:
    edit = list(own)
    edit[first], edit[second] = edit[second], edit[first]
    return tuple(edit)


def _parse_team(name: str, *, whole: str, teams: Sequence[Team]) -> Team:
    if name in teams:
        return name
    if name in PAPER_TEAMS:
        raise InputError(f"strategy {whole!r}: team {name!r} is switched off; allowed are {', '.join(teams)}")
    nearest = difflib.get_close_matches(name, [*teams, NO_PROCESSING], n=1, cutoff=0.4)
    hint = f", did you mean {nearest[0]!r}?" if nearest else "."
    raise InputError(
        f"strategy {whole!r}: unknown team {name!r}{hint} A strategy is team names joined by {SEPARATOR!r} "
        f"out of {', '.join(teams)}, or {NO_PROCESSING!r}"
    )


def parse_strategies(text: str, *, teams: Sequence[Team] = PAPER_TEAMS) -> tuple[Strategy, ...]:
    """The strategies of a comma-separated list, repeats kept.

    Raises:
        InputError: the list is empty or one of its strategies is wrong.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InputError("no strategy given; write for example 'cleaning,cleaning>optimization'")
    return tuple(Strategy.parse(part, teams=teams) for part in parts)


def parse_rounds(text: str, *, teams: Sequence[Team] = PAPER_TEAMS) -> tuple[tuple[Strategy, ...], ...]:
    """The rounds of a list such as `cleaning,generation;cleaning>generation`: lists of strategies joined by semicolons.

    Raises:
        InputError: a list is empty or one of its strategies is wrong.
    """
    return tuple(parse_strategies(part, teams=teams) for part in text.split(";"))


def strategy_space(teams: Sequence[Team] = PAPER_TEAMS) -> tuple[Strategy, ...]:
    """Every strategy over the teams, the empty one first, then by length: 65 for the paper's four teams."""
    return tuple(Strategy(order) for size in range(len(teams) + 1) for order in permutations(teams, size))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrie:
    """The distinct prefixes of one round's strategies: what must be computed when every prefix is shared."""

    nodes: tuple[Strategy, ...]
    """Distinct non-empty prefixes, each after its parent, in the order of first need."""
    team_runs_requested: int
    """Team runs when every strategy is computed from the raw data, repeats included."""

    @property
    def team_runs_executed(self) -> int:
        """Team runs when a prefix wanted twice is computed once, from an empty cache."""
        return len(self.nodes)

    def children(self, node: Strategy) -> tuple[Strategy, ...]:
        """The nodes that start from the given node's output; those of the empty strategy are the roots."""
        return tuple(child for child in self.nodes if child.parent == node)


def round_trie(strategies: Iterable[Strategy]) -> RoundTrie:
    """The trie of all prefixes of the strategies."""
    wanted = tuple(strategies)
    nodes = dict.fromkeys(prefix for strategy in wanted for prefix in strategy.prefixes())
    return RoundTrie(nodes=tuple(nodes), team_runs_requested=sum(len(strategy) for strategy in wanted))
