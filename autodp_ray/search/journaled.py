"""Any policy behind the journal: a round that was proposed is read back, so a resumed search asks nobody twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autodp_ray.journal import Journal
from autodp_ray.search.proposal import History, Policy, PolicyDecision, PromptMessage, Proposal, StopReason
from autodp_ray.strategy import Strategy

PROPOSAL = "proposal"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournaledPolicy:
    """Proposes a round, or repeats what the journal says was proposed."""

    policy: Policy
    journal: Journal
    scope: str = ""
    """Tells the rounds of this search from those of others in the same journal."""
    on_ask: Callable[[], None] = lambda: None
    """Called before the policy is asked, which it is not for a round that is read back."""

    @property
    def endings(self) -> Mapping[PolicyDecision, StopReason]:
        return self.policy.endings

    def propose(self, history: History) -> Proposal:
        """The next round's proposal.

        Raises: EndpointError where a model that the policy asks failed.
        """
        number = history.feedback.next_round
        key = f"{self.scope}{number}"
        return _proposal(self.journal.once(PROPOSAL, key, lambda: self._asked(history)))

    def _asked(self, history: History) -> Mapping[str, object]:
        self.on_ask()
        return _event(self.policy.propose(history))


def was_proposed(journal: Journal, number: int, *, scope: str = "") -> bool:
    """Whether the round of that number was proposed, be it in an earlier attempt."""
    return journal.find(PROPOSAL, f"{scope}{number}") is not None


def _event(proposal: Proposal) -> Mapping[str, object]:
    return {
        "strategies": [str(strategy) for strategy in proposal.strategies],
        "decision": proposal.decision.value,
        "best": str(proposal.best) if proposal.best is not None else None,
        "reasons": proposal.reasons,
        "source": str(proposal.source),
        "other_sources": {str(strategy): str(source) for strategy, source in proposal.other_sources.items()},
        "repairs": proposal.repairs,
        "tokens": proposal.tokens,
        "notes": list(proposal.notes),
        "turns": [list(turn) for turn in proposal.turns],
        "kept": [list(turn) for turn in proposal.kept],
    }


def _proposal(event: Mapping[str, object]) -> Proposal:
    best = event["best"]
    return Proposal(
        strategies=tuple(Strategy.from_text(text) for text in _texts(event["strategies"])),
        decision=PolicyDecision(str(event["decision"])),
        best=Strategy.from_text(best) if isinstance(best, str) else None,
        reasons=str(event["reasons"]),
        source=str(event["source"]),
        other_sources=_sources(event.get("other_sources", {})),
        repairs=int(str(event["repairs"])),
        tokens=int(str(event.get("tokens", 0))),
        notes=tuple(_texts(event["notes"])),
        turns=_turns(event["turns"]),
        kept=_turns(event["kept"]),
    )


def _sources(value: object) -> Mapping[Strategy, str]:
    assert isinstance(value, dict)
    return {Strategy.from_text(text): str(source) for text, source in value.items()}


def _texts(value: object) -> Sequence[str]:
    assert isinstance(value, list)
    return [str(text) for text in value]


def _turns(value: object) -> tuple[PromptMessage, ...]:
    assert isinstance(value, list)
    return tuple((str(role), str(content)) for role, content in value)
