"""The agent behind the journal: a round that was already proposed is read back, so a resumed search asks none twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autodp_ray.journal import Journal
from autodp_ray.search.agent.agent import Agent, ChatModel, Proposal, Source
from autodp_ray.search.agent.messages import AgentTask, Feedback, Message
from autodp_ray.search.agent.reply import Decision
from autodp_ray.strategy import Strategy

PROPOSAL = "proposal"


class JournaledAgent:
    """Proposes a round, or repeats what the journal says was proposed."""

    def __init__(self, chat: ChatModel, *, task: AgentTask, seed: int, journal: Journal) -> None:
        self._chat = chat
        self._task = task
        self._seed = seed
        self._journal = journal
        self._kept: tuple[Message, ...] = ()

    def propose(self, feedback: Feedback) -> Proposal:
        """The next round's proposal.

        Raises: EndpointError where the agent's endpoint failed.
        """
        event = self._journal.once(PROPOSAL, str(feedback.next_round), lambda: _event(self._ask(feedback)))
        proposal = _proposal(event)
        self._kept += proposal.kept
        return proposal

    def _ask(self, feedback: Feedback) -> Proposal:
        agent = Agent(self._chat, task=self._task, seed=self._seed, kept=self._kept)
        return agent.propose(feedback)


def _event(proposal: Proposal) -> Mapping[str, object]:
    return {
        "strategies": [str(strategy) for strategy in proposal.strategies],
        "decision": proposal.decision.value,
        "best": str(proposal.best) if proposal.best is not None else None,
        "reasons": proposal.reasons,
        "source": proposal.source.value,
        "repairs": proposal.repairs,
        "notes": list(proposal.notes),
        "turns": [list(turn) for turn in proposal.turns],
        "kept": [list(turn) for turn in proposal.kept],
    }


def _proposal(event: Mapping[str, object]) -> Proposal:
    best = event["best"]
    return Proposal(
        strategies=tuple(Strategy.parse(text) for text in _texts(event["strategies"])),
        decision=Decision(str(event["decision"])),
        best=Strategy.parse(best) if isinstance(best, str) else None,
        reasons=str(event["reasons"]),
        source=Source(str(event["source"])),
        repairs=int(str(event["repairs"])),
        notes=tuple(_texts(event["notes"])),
        turns=_turns(event["turns"]),
        kept=_turns(event["kept"]),
    )


def _texts(value: object) -> Sequence[str]:
    assert isinstance(value, list)
    return [str(text) for text in value]


def _turns(value: object) -> tuple[Message, ...]:
    assert isinstance(value, list)
    return tuple((str(role), str(content)) for role, content in value)
