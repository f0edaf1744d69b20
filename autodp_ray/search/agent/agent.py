"""The agent: asks a chat model for the next strategies, repairs bad replies, falls back where none can be used.

Knows messages, replies and the open part of the strategy space. Does not know how strategies are run or scored, and
decides nothing about the end of a search: it hands a proposal to the search loop.

Source: LLM-AutoDP, section 3.2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from autodp_ray.search.agent.fallback import Adviser, NeighbourAdviser
from autodp_ray.search.agent.messages import (
    AgentTask,
    open_strategies,
    repair_message,
    reply_schema,
    round_message,
    system_message,
)
from autodp_ray.search.agent.reply import AgentReply, ReplyError, parse_reply, without_thinking
from autodp_ray.search.agent.team_names import TeamNames, encodable
from autodp_ray.search.proposal import Feedback, PolicyDecision, PromptMessage, Proposal
from operators.contract.resources import Completion

MAX_REPAIRS = 2
_MAX_REJECTED = 1_500
"""Characters of a rejected reply that its repair turn shows again."""
_MAX_RECORDED = 8_000
"""Characters of any reply that a proposal records."""


class ChatModel(Protocol):
    """A chat endpoint with its own decoding settings. A fault raises `EndpointError`; it never becomes a reply."""

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        """The reply; `json_schema` steers decoding where the server can."""


class ProposalSource(StrEnum):
    """Who chose the strategies of a round: the agent, or the rule for replies that cannot be used."""

    AGENT = "agent"
    FALLBACK = "fallback"


class Agent:
    """Holds the conversation over the rounds of one search.

    A resumed search passes the `kept` turns of its finished rounds as `kept`, and goes on as if never interrupted.
    """

    def __init__(
        self,
        chat: ChatModel,
        *,
        task: AgentTask,
        seed: int = 0,
        kept: Sequence[PromptMessage] = (),
        trust_stop: bool = False,
        adviser: Adviser | None = None,
        fill_first_round: bool = True,
    ) -> None:
        self._chat = chat
        self._trust_stop = trust_stop
        self._adviser = adviser or NeighbourAdviser(task.teams)
        self._fill_first_round = fill_first_round
        self._task = task
        self._names = TeamNames.of(task.teams, task.spellings)
        self._seed = seed
        self._kept = tuple(kept)

    @property
    def transcript(self) -> tuple[PromptMessage, ...]:
        """System message, then a user and an assistant turn for every round in which the agent was understood."""
        return (system_message(self._task), *self._kept)

    def propose(self, feedback: Feedback) -> Proposal:
        """The next round's strategies, or the agent's wish to stop.

        Raises:
            EndpointError: the endpoint failed; that is no reply and no reason for a fallback.
        """
        question = round_message(self._task, feedback, effects=self._adviser.effects(feedback))
        turns: list[PromptMessage] = [question]
        faults: list[str] = []
        tokens = 0
        for attempt in range(MAX_REPAIRS + 1):
            completion = self._ask([*self.transcript, *_shortened(turns)], feedback, attempt=attempt)
            tokens += completion.prompt_tokens + completion.completion_tokens
            text = encodable(completion.text)
            turns.append(("assistant", text[:_MAX_RECORDED]))
            try:
                reply = self._checked(parse_reply(text, names=self._names), feedback)
            except ReplyError as error:
                faults.append(error.reason)
                if attempt < MAX_REPAIRS:
                    turns.append(repair_message(self._task, feedback, error))
                continue
            kept = (question, ("assistant", _canonical(reply, feedback=feedback)))
            self._kept += kept
            proposal = self._topped_up(_from_agent(reply, faults=faults, turns=turns, kept=kept), feedback)
            return replace(proposal, tokens=tokens)
        return replace(self._fallback(feedback, faults=faults, turns=turns), tokens=tokens)

    def _ask(self, messages: Sequence[PromptMessage], feedback: Feedback, *, attempt: int) -> Completion:
        return self._chat.chat(
            messages,
            json_schema=reply_schema(self._task, feedback),
            seed=self._seed + feedback.next_round * (MAX_REPAIRS + 1) + attempt,
        )

    def _checked(self, reply: AgentReply, feedback: Feedback) -> AgentReply:
        """The reply held against what was measured.

        Raises: ReplyError where it does not hold.
        """
        checked = check_reply(reply, task=self._task, feedback=feedback)
        if not self._trust_stop:
            require_agreement(checked, feedback)
        return checked

    def _topped_up(self, proposal: Proposal, feedback: Feedback) -> Proposal:
        """A first round with as many strategies as were asked for; later ones are as large as the agent likes."""
        missing = self._task.num_strategies - len(proposal.strategies)
        if not self._fill_first_round or feedback.rounds or missing <= 0:
            return proposal
        added = self._adviser.choose(feedback, k=missing, but=proposal.strategies)
        if not added:
            return proposal
        names = ", ".join(strategy.text for strategy in added)
        note = (
            f"only {len(proposal.strategies)} of {self._task.num_strategies} strategies were proposed; added: {names}"
        )
        return replace(proposal, strategies=proposal.strategies + added, notes=(*proposal.notes, note))

    def _fallback(self, feedback: Feedback, *, faults: Sequence[str], turns: Sequence[PromptMessage]) -> Proposal:
        return Proposal(
            strategies=self._adviser.choose(feedback, k=self._task.num_strategies),
            decision=PolicyDecision.CONTINUE,
            source=ProposalSource.FALLBACK,
            repairs=MAX_REPAIRS,
            notes=tuple(f"reply refused: {fault}" for fault in faults),
            turns=tuple(turns),
        )


def check_reply(reply: AgentReply, *, task: AgentTask, feedback: Feedback) -> AgentReply:
    """The reply held against what was tried: what was tried drops out, a stop needs scores.

    A stop beside new strategies is no stop: they are scored first, and the agent is asked again.

    Raises:
        ReplyError: no new strategy is left, or the stop does not rest on a score.
    """
    if reply.decision is PolicyDecision.CONTINUE:
        return _only_new(reply, task=task, feedback=feedback)
    if set(reply.strategies) & set(open_strategies(task, feedback)):
        note = "the decision is to stop, but new strategies are proposed; they are scored first"
        going_on = replace(reply, decision=PolicyDecision.CONTINUE, best=None, notes=(*reply.notes, note))
        return _only_new(going_on, task=task, feedback=feedback)
    if not feedback.scored:
        raise ReplyError("no strategy has a score yet, so the search cannot be stopped; propose strategies")
    if reply.best is not None and reply.best not in feedback.scored:
        scored = ", ".join(strategy.text for strategy in feedback.scored)
        raise ReplyError(f"'{reply.best}' has no score, so it cannot be called the best; scored are: {scored}")
    return replace(reply, strategies=())


def require_agreement(reply: AgentReply, feedback: Feedback) -> None:
    """Raises: ReplyError for a stop that the intervals of the scores contradict."""
    top = feedback.best
    if top is None or reply.decision is PolicyDecision.CONTINUE:
        return
    if reply.best is None:
        proven = [one for strategy in feedback.scored if (one := feedback.result_of(strategy)) and one.is_above_zero]
        if proven:
            best = max(proven, key=lambda one: one.score or 0.0)
            raise ReplyError(f"'{best.strategy}' scores above zero with its whole interval, so processing is needed")
        return
    named = feedback.result_of(reply.best)
    if named is not None and named.is_below(top):
        raise ReplyError(f"'{named.strategy}' is not the best: its whole interval lies below that of '{top.strategy}'")
    if named is not None and named.ci95 is not None and named.ci95[1] < 0:
        raise ReplyError(f"'{named.strategy}' scores below zero with its whole interval, so it is worse than nothing")


def _only_new(reply: AgentReply, *, task: AgentTask, feedback: Feedback) -> AgentReply:
    is_open = set(open_strategies(task, feedback))
    new = tuple(strategy for strategy in reply.strategies if strategy in is_open)
    tried = [strategy.text for strategy in reply.strategies if strategy not in is_open]
    if not new:
        raise ReplyError(f"every proposed strategy was already tried: {', '.join(tried)}; propose new ones or stop")
    notes = (*reply.notes, *(f"{text} was already tried; left out" for text in tried))
    return replace(reply, strategies=new, notes=notes)


def _from_agent(
    reply: AgentReply, *, faults: Sequence[str], turns: Sequence[PromptMessage], kept: tuple[PromptMessage, ...]
) -> Proposal:
    return Proposal(
        strategies=reply.strategies,
        decision=reply.decision,
        best=reply.best,
        reasons=reply.reasons,
        source=ProposalSource.AGENT,
        repairs=len(faults),
        notes=(*(f"reply refused: {fault}" for fault in faults), *reply.notes),
        turns=tuple(turns),
        kept=kept,
    )


def _shortened(turns: Sequence[PromptMessage]) -> list[PromptMessage]:
    """This round's turns as the model sees them again: replies without their thinking, and clipped."""
    return [
        (role, (without_thinking(content)[:_MAX_REJECTED] or "(no answer)") if role == "assistant" else content)
        for role, content in turns
    ]


def _canonical(reply: AgentReply, *, feedback: Feedback) -> str:
    """The understood reply as the JSON that was asked for; this, not the reply's own words, enters the transcript."""
    strategies = [strategy.text for strategy in reply.strategies]
    body: dict[str, object] = {"reasons": reply.reasons}
    if feedback.scored:
        body["decision"] = reply.decision.value
    body["strategies"] = strategies
    if feedback.scored:
        body["best"] = reply.best.text if reply.best else None
    return json.dumps(body, ensure_ascii=False)
