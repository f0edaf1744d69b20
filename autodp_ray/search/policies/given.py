"""The policy `given`: scores the rounds that it is given, all of them, and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.proposal import History, PolicyDecision, Proposal, StopReason
from autodp_ray.strategy import Strategy, Team, parse_rounds

_ENDINGS = {PolicyDecision.CONTINUE: StopReason(name="given_scored", words="all given strategies are scored")}


class GivenSearch(PolicySpec):
    """Scores given strategies round by round, whatever the limits; `--strategies` on the command line is this."""

    obeys_stop_rules = False
    sources: ClassVar[Mapping[str, str]] = {"given": "given on the command line"}
    endings = _ENDINGS

    name: Literal["given"] = "given"
    rounds: str
    """The strategies, as in `cleaning,generation;cleaning>generation`, where semicolons separate rounds."""

    def used_teams(self, teams: tuple[Team, ...]) -> tuple[Team, ...]:
        """The teams of the given strategies.

        Raises: InputError where a strategy is wrong or needs a team that is switched off.
        """
        named = (team for strategy in self.candidates(teams) for team in strategy.teams)
        return tuple(dict.fromkeys(named))

    def candidates(self, teams: Sequence[Team]) -> tuple[Strategy, ...]:
        return tuple(strategy for each in parse_rounds(self.rounds, teams=teams) for strategy in each)

    def most_strategies(self, teams: Sequence[Team], *, max_rounds: int, num_strategies: int) -> int:
        return len(self.candidates(teams))

    def build(self, inputs: PolicyInputs) -> GivenPolicy:
        return GivenPolicy(rounds=parse_rounds(self.rounds, teams=inputs.task.teams))


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPolicy:
    """Proposes each round in its turn, repeats kept."""

    endings: ClassVar = _ENDINGS

    rounds: tuple[tuple[Strategy, ...], ...]

    def propose(self, history: History) -> Proposal:
        number = history.feedback.next_round
        strategies = self.rounds[number - 1] if number <= len(self.rounds) else ()
        return Proposal(strategies=strategies, source="given")
