"""Policies behind the journal: a proposed round is read back word for word, and nobody is asked twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.storage.storage import Storage
from autodp_ray.journal import Journal
from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.journaled import PROPOSAL, JournaledPolicy, was_proposed
from autodp_ray.search.policies.agent import AgentPolicy
from autodp_ray.search.policies.agent_surrogate import AgentSurrogateSearch
from autodp_ray.search.policies.base import PolicyInputs
from autodp_ray.search.policies.random import RandomPolicy
from autodp_ray.search.proposal import (
    Feedback,
    History,
    Policy,
    PolicyDecision,
    PromptMessage,
    Proposal,
    RoundScores,
    StrategyScore,
)
from autodp_ray.strategy import Strategy
from operators.contract.errors import EndpointError
from operators.contract.resources import Completion


class ScriptedChat:
    """Replies in turn; remembers the transcripts it was sent."""

    def __init__(self, *replies: str | Exception) -> None:
        self._replies = list(replies)
        self.heard: list[tuple[PromptMessage, ...]] = []

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        self.heard.append(tuple(messages))
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Completion(text=reply)


def reply(*strategies: str, best: str | None = None, decision: str = "continue") -> str:
    return json.dumps({"reasons": "because", "decision": decision, "strategies": list(strategies), "best": best})


class Searching:
    """A policy behind a journal, asked round by round as the search loop asks it."""

    def __init__(self, policy: Policy, folder: Path) -> None:
        self._policy = JournaledPolicy(policy=policy, journal=Journal(Storage.at(folder)))
        self._proposals: tuple[Proposal, ...] = ()

    def propose(self, feedback: Feedback) -> Proposal:
        proposal = self._policy.propose(History(feedback=feedback, proposals=self._proposals))
        self._proposals += (proposal,)
        return proposal


def agent(chat: ScriptedChat, folder: Path) -> Searching:
    return Searching(AgentPolicy(chat=chat, task=AgentTask(num_strategies=1), seed=0), folder)


def feedback(*rounds: dict[str, float]) -> Feedback:
    return Feedback(
        rounds=tuple(
            RoundScores(
                round=number,
                results=tuple(StrategyScore(strategy=Strategy.parse(name), score=s) for name, s in scores.items()),
            )
            for number, scores in enumerate(rounds, start=1)
        ),
        baseline_score=-2.0,
        noise_floor=0.1,
    )


ROUND_1 = feedback()
ROUND_2 = feedback({"cleaning": 0.2})


def test_a_round_that_was_proposed_is_read_back_as_it_was(tmp_path: Path) -> None:
    chat = ScriptedChat(reply("cleaning", "optimization>cleaning"))
    first = agent(chat, tmp_path).propose(ROUND_1)
    assert [str(one) for one in first.strategies] == ["cleaning", "optimization>cleaning"]
    silent = ScriptedChat()
    assert agent(silent, tmp_path).propose(ROUND_1) == first
    assert silent.heard == []


def test_a_resumed_agent_hears_the_conversation_as_if_never_interrupted(tmp_path: Path) -> None:
    unbroken = ScriptedChat(reply("cleaning"), reply("generation"))
    whole = agent(unbroken, tmp_path / "whole")
    whole.propose(ROUND_1)
    expected = whole.propose(ROUND_2)
    agent(ScriptedChat(reply("cleaning")), tmp_path / "broken").propose(ROUND_1)
    second = ScriptedChat(reply("generation"))
    resumed = agent(second, tmp_path / "broken")
    resumed.propose(ROUND_1)
    assert resumed.propose(ROUND_2) == expected
    assert second.heard == unbroken.heard[1:]
    assert [role for role, _ in second.heard[0]] == ["system", "user", "assistant", "user"]


def test_a_wish_to_stop_and_its_choice_come_back(tmp_path: Path) -> None:
    chat = ScriptedChat(reply("cleaning"), reply(best="cleaning", decision="best"))
    asked = agent(chat, tmp_path)
    asked.propose(ROUND_1)
    stopped = asked.propose(ROUND_2)
    resumed = agent(ScriptedChat(), tmp_path)
    resumed.propose(ROUND_1)
    again = resumed.propose(ROUND_2)
    assert again == stopped
    assert (again.decision, again.best) == (PolicyDecision.BEST, Strategy.parse("cleaning"))


def test_a_fallback_stays_a_fallback_with_its_faults(tmp_path: Path) -> None:
    first = agent(ScriptedChat("what?", "no", "never"), tmp_path).propose(ROUND_1)
    again = agent(ScriptedChat(), tmp_path).propose(ROUND_1)
    assert again == first
    assert again.source == "fallback"
    assert len(again.notes) == 3
    assert again.kept == ()


def test_an_agent_that_cannot_be_reached_leaves_no_proposal(tmp_path: Path) -> None:
    with pytest.raises(EndpointError):
        agent(ScriptedChat(EndpointError("refused")), tmp_path).propose(ROUND_1)
    assert Journal(Storage.at(tmp_path)).count(PROPOSAL) == 0
    assert agent(ScriptedChat(reply("cleaning")), tmp_path).propose(ROUND_1).strategies == (Strategy.parse("cleaning"),)


def test_each_round_is_an_event_of_its_own_with_all_that_was_said(tmp_path: Path) -> None:
    asked = agent(ScriptedChat("what?", reply("cleaning"), reply("generation")), tmp_path)
    asked.propose(ROUND_1)
    asked.propose(ROUND_2)
    events = [event for event in Journal(Storage.at(tmp_path)) if event.name == PROPOSAL]
    assert [event.key for event in events] == ["1", "2"]
    turns = events[0].payload["turns"]
    assert isinstance(turns, list)
    assert [role for role, _ in turns] == ["user", "assistant", "user", "assistant"]


def test_any_policy_is_read_back_even_if_it_would_choose_otherwise_now(tmp_path: Path) -> None:
    def random(seed: int) -> Searching:
        return Searching(RandomPolicy(PolicyInputs(task=AgentTask(num_strategies=3), seed=seed)), tmp_path)

    first = random(0).propose(ROUND_1)
    assert random(1).propose(ROUND_1) == first
    assert first.source == "random"


def test_a_team_of_ones_own_is_read_back(tmp_path: Path) -> None:
    inputs = PolicyInputs(task=AgentTask(teams=("translation",), num_strategies=1))
    proposals = [Searching(RandomPolicy(inputs), tmp_path).propose(feedback()) for _ in range(2)]
    assert [one.strategies for one in proposals] == [(Strategy(("translation",)),)] * 2


def test_who_chose_each_strategy_is_read_back(tmp_path: Path) -> None:
    chat = ScriptedChat(reply("generation>cleaning"))
    inputs = PolicyInputs(task=AgentTask(num_strategies=2), chat=chat)
    first, second = (Searching(AgentSurrogateSearch().build(inputs), tmp_path).propose(ROUND_1) for _ in range(2))
    assert first == second
    assert [second.source_of(one) for one in second.strategies] == ["surrogate", "agent"]


def test_who_watches_hears_of_it_only_where_the_policy_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []
    for _ in range(2):
        policy = AgentPolicy(chat=ScriptedChat(reply("cleaning")), task=AgentTask(num_strategies=1), seed=0)
        journal = Journal(Storage.at(tmp_path))
        journaled = JournaledPolicy(policy=policy, journal=journal, on_ask=lambda: asked.append("asking"))
        journaled.propose(History(feedback=ROUND_1))
    assert asked == ["asking"]


def test_a_journal_says_which_rounds_were_proposed(tmp_path: Path) -> None:
    agent(ScriptedChat(reply("cleaning")), tmp_path).propose(ROUND_1)
    journal = Journal(Storage.at(tmp_path))
    assert (was_proposed(journal, 1), was_proposed(journal, 2)) == (True, False)


def test_an_event_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    event = {
        "strategies": ["cleaning"],
        "decision": "continue",
        "best": None,
        "reasons": "because",
        "source": "agent",
        "repairs": 1,
        "notes": ["n"],
        "turns": [["user", "hi"]],
        "kept": [],
    }
    Journal(Storage.at(tmp_path)).append(PROPOSAL, event, key="1")
    assert agent(ScriptedChat(), tmp_path).propose(ROUND_1) == Proposal(
        strategies=(Strategy.parse("cleaning"),),
        reasons="because",
        source="agent",
        repairs=1,
        notes=("n",),
        turns=(("user", "hi"),),
    )
