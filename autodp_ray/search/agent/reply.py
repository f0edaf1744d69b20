"""Reads an agent's reply, whatever it looks like, into strategies and a decision, or says precisely what is wrong.

Accepts the JSON that was asked for (also fenced, inside prose, or slightly broken) and the paper's text form. Knows
which teams exist; does not know what was scored before. Work is bounded: linear scans, and repairs of short pieces.

Source: LLM-AutoDP, section 6.1 (the text form).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autodp_ray.search.agent.reply_json import find_objects, read_object
from autodp_ray.search.agent.reply_parts import AgentReply, Draft, ReplyError
from autodp_ray.search.agent.reply_text import read_text
from autodp_ray.search.agent.team_names import TeamNameError, TeamNames, encodable
from autodp_ray.search.proposal import PolicyDecision
from autodp_ray.strategy import NONE, Strategy
from operators.replies.reasoning import split_reasoning
from operators.replies.reasoning import without_reasoning as without_thinking

MAX_STRATEGIES = 6
MAX_REASONS = 600
MAX_REPLY = 400_000
"""Characters of a reply that are looked at; of a longer one, the end."""
_MAX_FAULTS = 4
_MAX_NOTES = 12
_MAX_READ = 64
PAPER_NAMES = TeamNames.of()

__all__ = ["MAX_STRATEGIES", "AgentReply", "PolicyDecision", "ReplyError", "parse_reply", "without_thinking"]


def parse_reply(text: str, *, names: TeamNames = PAPER_NAMES) -> AgentReply:
    """What the reply proposes.

    Raises:
        ReplyError: nothing usable is in it; `reason` can be sent back in a repair turn. No other error leaves it.
    """
    thoughts = split_reasoning(text[-MAX_REPLY:])
    answer, unclosed = thoughts.reply, thoughts.unclosed or ""
    if not answer.strip() and not unclosed.strip():
        raise ReplyError("the reply is empty")
    if answer.strip():
        return _read(answer, names=names)
    try:
        reply = _read(unclosed, names=names)
    except ReplyError:
        raise ReplyError("the reply ends inside its thinking, before any answer; think briefly, then answer") from None
    if reply.decision is not PolicyDecision.CONTINUE:
        raise ReplyError("the reply ends inside its thinking; a search is stopped only by an answer after it")
    return reply


def _read(answer: str, *, names: TeamNames) -> AgentReply:
    """The first of its drafts that holds up; where none does, what is wrong with the first one.

    A model may write the form that it was shown behind its answer, so the last JSON need not be the one that counts.
    """
    faults: list[ReplyError] = []
    for draft in _drafts(answer):
        try:
            return _finish(draft, names=names)
        except ReplyError as error:
            faults.append(error)
    if faults:
        raise faults[0]
    return _finish(read_text(answer, names), names=names)


def _drafts(answer: str) -> Iterator[Draft]:
    for found in find_objects(answer):
        draft = read_object(found)
        if draft is not None:
            yield draft


def _finish(draft: Draft, *, names: TeamNames) -> AgentReply:
    """The draft with its names read, its repeats and surplus cut, and its decision checked."""
    strategies, faults = _read_all(draft.strategies, names=names)
    notes = list(draft.notes)
    if len(strategies) > MAX_STRATEGIES:
        notes.append(f"{len(strategies)} strategies were proposed; only the first {MAX_STRATEGIES} are kept")
        strategies = strategies[:MAX_STRATEGIES]
    reasons = encodable(" ".join(draft.reasons[: 4 * MAX_REASONS].split())[:MAX_REASONS])
    decision = draft.decision or (
        PolicyDecision.BEST if draft.best and not draft.strategies else PolicyDecision.CONTINUE
    )
    best = None
    if decision is PolicyDecision.BEST and strategies and not draft.best:
        notes.append("the decision is to stop, but no best strategy is named; the proposed strategies count")
        decision = PolicyDecision.CONTINUE
    if decision is PolicyDecision.BEST:
        best = _read_best(draft.best, names=names)
        decision = decision if best else PolicyDecision.NONE_NEEDED
    elif draft.best:
        notes.append("a best strategy was named without the decision to stop; ignored")
    if decision is PolicyDecision.CONTINUE and not strategies:
        raise ReplyError("; ".join(faults[:_MAX_FAULTS]) or "the reply proposes no strategy")
    notes += faults[:_MAX_NOTES]
    return AgentReply(strategies=tuple(strategies), decision=decision, best=best, reasons=reasons, notes=tuple(notes))


def _read_all(drafts: Sequence[str | tuple[str, ...]], *, names: TeamNames) -> tuple[list[Strategy], list[str]]:
    """The distinct valid strategies in order, and what was wrong with the others."""
    strategies: list[Strategy] = []
    faults: list[str] = []
    for number, draft in enumerate(drafts[:_MAX_READ], start=1):
        try:
            strategy = names.read_strategy(draft)
        except TeamNameError as error:
            faults.append(f"strategy {number}: {error}")
            continue
        if strategy == NONE:
            faults.append(f"strategy {number}: no processing is the baseline and is already measured")
        elif strategy in strategies:
            faults.append(f"strategy {number}: repeats {strategy}")
        else:
            strategies.append(strategy)
    return strategies, faults


def _read_best(best: str | tuple[str, ...] | None, *, names: TeamNames) -> Strategy | None:
    """The strategy named best; None when that is no processing at all."""
    if not best:
        raise ReplyError("the decision is to stop with the best strategy, but none is named")
    try:
        return names.read_strategy(best) or None
    except TeamNameError as error:
        raise ReplyError(f"the best strategy cannot be read: {error}") from None
