"""No row can reach the agent: planted canaries, checked types, and the shape of the builders' signatures."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from pathlib import Path

import pyarrow as pa
import pytest

from autodp_ray.evaluators.base import Evaluator
from autodp_ray.search.agent import messages as agent_messages
from autodp_ray.search.agent.agent import Agent
from autodp_ray.search.agent.messages import AgentTask
from autodp_ray.search.agent.reply import ReplyError
from autodp_ray.search.proposal import Effect, Feedback, PromptMessage, RoundScores, StrategyScore
from autodp_ray.statistics import ItemScores, paired_interval, score
from autodp_ray.strategy import NONE, Strategy
from operators.contract.errors import EndpointError
from operators.contract.resources import Completion
from operators.rows.record import RECORD_SCHEMA

CANARIES = ("CANARY-question-7f3a", "CANARY-answer-91bc", "CANARY-id-55d0", "金丝雀-病史-2c41", "CANARY-error-0e8d")


@dataclass
class ListeningChat:
    """Answers each question with the next line and records every word it was sent."""

    lines: list[str]
    heard: list[str] = field(default_factory=list)

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        self.heard += [content for _, content in messages]
        self.heard.append(json_schema or "")
        return Completion(text=self.lines.pop(0))


def planted_rows() -> pa.Table:
    question, answer, row_id, history, _ = CANARIES
    rows = [
        {
            "id": f"{row_id}-{at}",
            "history": [{"role": "user", "content": history}],
            "question": question,
            "answer": answer,
            "origin": "source",
        }
        for at in range(8)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def item_scores(rows: pa.Table, *, gain: float) -> ItemScores:
    """A stand-in for an evaluator: reads the rows and gives numbers under the rows' ids."""
    values = [gain + len(text) / 100 + at / 50 for at, text in enumerate(rows["answer"].to_pylist())]
    return ItemScores.of_values(rows["id"].to_pylist(), values)


def measure(strategy: Strategy, *, rows: pa.Table, baseline: ItemScores) -> StrategyScore:
    """A stand-in for the evaluation of one strategy; `generation` fails with an error that quotes a row."""
    try:
        if "generation" in strategy.teams:
            raise EndpointError(f"{CANARIES[4]}: could not complete {rows['question'][0]}")
        items = item_scores(rows, gain=0.1 * len(strategy))
    except EndpointError:
        return StrategyScore(strategy=strategy, score=None)
    interval = paired_interval([items], [baseline], seed=0, num_resamples=50)
    return StrategyScore(strategy=strategy, score=score(items) - score(baseline), ci95=interval.ci95)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_rows_ids_and_errors_reach_no_message_in_a_search_of_many_rounds(language: str) -> None:
    rows = planted_rows()
    baseline = item_scores(rows, gain=0.0)
    lines = [
        json.dumps({"strategies": ["cleaning", "generation"]}),
        "no idea",
        json.dumps({"strategies": ["labelling"]}),
        json.dumps({"decision": "continue", "strategies": ["cleaning>selection"], "best": None}),
        "bad",
        "",
        "<think>",
        json.dumps({"decision": "best", "strategies": [], "best": "cleaning>selection>optimization"}),
    ]
    chat = ListeningChat(list(lines))
    agent = Agent(chat, task=AgentTask(language=language, domain="medicine"))  # type: ignore[arg-type]
    rounds: list[RoundScores] = []
    recorded: list[str] = []
    for number in range(1, 5):
        feedback = Feedback(rounds=tuple(rounds), baseline_score=score(baseline), noise_floor=0.01)
        proposal = agent.propose(feedback)
        recorded += [*proposal.notes, proposal.reasons, *(content for _, content in (*proposal.turns, *proposal.kept))]
        results = tuple(measure(strategy, rows=rows, baseline=baseline) for strategy in proposal.strategies)
        rounds.append(RoundScores(round=number, results=results))
    assert not chat.lines
    assert any("+0.1000" in text for text in chat.heard)
    everything = "\n".join([*chat.heard, *recorded, *(content for _, content in agent.transcript)])
    assert [canary for canary in CANARIES if canary in everything] == []


def test_text_cannot_stand_where_a_number_or_a_strategy_is_meant() -> None:
    row = "a patient's question"
    with pytest.raises(TypeError, match="a score must be a number, got str"):
        StrategyScore(strategy=NONE, score=row)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a score must be a number, got str"):
        StrategyScore(strategy=NONE, score=0.1, ci95=(0.0, row))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an effect is that of a Strategy, got str"):
        Effect(of=row, mean=0.1, sd=0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a score must be a number, got str"):
        Effect(of=NONE, mean=row, sd=0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="strategy must be a Strategy, got str"):
        StrategyScore(strategy=row, score=0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a tuple of StrategyScore"):
        RoundScores(round=1, results=(row,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a round is a number"):
        RoundScores(round=row, results=())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="rounds must be a tuple of RoundScores"):
        Feedback(rounds=(row,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a score must be a number, got str"):
        Feedback(noise_floor=row)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot name a team"):
        Strategy((row,))
    for options in ({"language": row}, {"evaluator": row}, {"teams": (row,)}, {"domain": "two\nlines"}):
        with pytest.raises(ValueError, match=r"unknown|cannot name a team|one line"):
            AgentTask(**options)
    for words in (("one",), ("two\nlines",) * 4, ("x" * 2_001,) * 4, ("",) * 4, (1,) * 4):
        with pytest.raises(ValueError, match="one line of at most 2000 characters for each team"):
            AgentTask(team_words=words)  # type: ignore[arg-type]
    for options in ({"num_strategies": row}, {"max_rounds": row}):
        with pytest.raises(TypeError, match="whole number"):
            AgentTask(**options)  # type: ignore[arg-type]


ALLOWED_LEAVES = {int, float, type(None)}
ALLOWED_TEXT = {"AgentTask.domain", "AgentTask.team_words", "AgentTask.teams", "AgentTask.spellings", "Strategy.teams"}
"""All are config text. The words of a team are made of specs, or are its description (`team_words` takes nothing else);
a name of a team is one short word; spellings are told to nobody."""


def leaves(hint: object, *, where: str) -> set[str]:
    """Every place under a type that could hold something else than numbers, enum members, literals and our classes."""
    if hint in ALLOWED_LEAVES or typing.get_origin(hint) is typing.Literal:
        return set()
    if hint == type[Evaluator] or (isinstance(hint, type) and issubclass(hint, Enum)):
        return set()
    if typing.get_origin(hint) in (tuple, typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(hint) if one is not Ellipsis]
        return set().union(*(leaves(one, where=where) for one in inner))
    if isinstance(hint, type) and is_dataclass(hint) and hint.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        fields = typing.get_type_hints(hint)
        return set().union(*(leaves(one, where=f"{hint.__name__}.{name}") for name, one in fields.items()))
    return {where}


def public_builders() -> list[types.FunctionType]:
    members = vars(agent_messages).values()
    own = [one for one in members if inspect.isfunction(one) and one.__module__ == agent_messages.__name__]
    return [one for one in own if not one.__name__.startswith("_")]


def test_the_builders_accept_only_frozen_types_of_team_names_numbers_and_config_text() -> None:
    builders = public_builders()
    assert {one.__name__ for one in builders} >= {"system_message", "round_message", "repair_message", "reply_schema"}
    for builder in builders:
        hints = typing.get_type_hints(builder)
        hints.pop("return")
        if builder.__name__ == "repair_message":
            assert hints.pop("error") is ReplyError, "a repair speaks of the agent's own reply and nothing else"
        for name, hint in hints.items():
            assert leaves(hint, where=f"{builder.__name__}({name})") <= ALLOWED_TEXT


def test_the_type_check_would_see_a_table_a_text_or_a_dict() -> None:
    for hint in (pa.Table, str, dict[str, float], object, list[float], tuple[str, ...], Path):
        assert leaves(hint, where="x") == {"x"}


def test_the_agent_modules_import_nothing_that_can_read_rows() -> None:
    files = sorted(Path(agent_messages.__file__).parent.glob("*.py"))
    assert "messages.py" in {file.name for file in files}
    for file in files:
        source = file.read_text(encoding="utf-8")
        for reader in (
            "pyarrow",
            "pandas",
            "operators.rows",
            "ray",
            "autodp_ray.config",
            "autodp_ray.records",
        ):
            assert not re.search(rf"^\s*(import|from) {re.escape(reader)}[\s.]", source, re.MULTILINE), (
                file.name,
                reader,
            )
