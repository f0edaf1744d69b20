"""What an agent's reply is made of: the draft that the readers fill, the finished reply, its error."""

from __future__ import annotations

from dataclasses import dataclass

from autodp_ray.search.proposal import PolicyDecision
from autodp_ray.strategy import Strategy
from operators.contract.errors import AutoDPError


class ReplyError(AutoDPError):
    """A reply of the agent is of no use; `reason` says what is wrong with it, in words that can be sent back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What one reader found, with team names as they were written."""

    strategies: tuple[str | tuple[str, ...], ...] = ()
    decision: PolicyDecision | None = None
    best: str | tuple[str, ...] | None = None
    reasons: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReply:
    """A reply that was understood. `best` is set exactly when the decision is `best`.

    A stop may stand beside strategies; what that means depends on what was tried, which is not known here.
    """

    strategies: tuple[Strategy, ...]
    decision: PolicyDecision
    best: Strategy | None
    reasons: str
    notes: tuple[str, ...] = ()
