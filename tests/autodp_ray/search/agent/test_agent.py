"""The agent over rounds: what it is told, how bad replies are repaired, when the fallback steps in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import xgrammar
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.search.agent.agent import Agent, ChatModel, ProposalSource, require_agreement
from autodp_ray.search.agent.fallback import fallback_strategies
from autodp_ray.search.agent.messages import AgentTask, reply_schema, round_message, system_message
from autodp_ray.search.agent.reply import ReplyError, parse_reply
from autodp_ray.search.proposal import Feedback, PolicyDecision, PromptMessage, Proposal, RoundScores, StrategyScore
from autodp_ray.strategy import Strategy, strategy_space
from operators.contract.errors import EndpointError
from operators.contract.resources import Completion


@dataclass
class ScriptedChat:
    """Says its lines in order, the last one for ever, and remembers what it was asked."""

    lines: list[str | EndpointError]
    asked: list[tuple[PromptMessage, ...]] = field(default_factory=list)
    schemas: list[str | None] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        self.asked.append(tuple(messages))
        self.schemas.append(json_schema)
        self.seeds.append(seed)
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, EndpointError):
            raise line
        return Completion(text=line, prompt_tokens=30, completion_tokens=10)


def strategy(text: str) -> Strategy:
    return Strategy.parse(text)


def measured(*rounds: dict[str, float | None]) -> Feedback:
    return Feedback(
        rounds=tuple(
            RoundScores(
                round=number,
                results=tuple(
                    StrategyScore(
                        strategy=strategy(text),
                        score=score,
                        ci95=None if score is None else (score - 0.01, score + 0.01),
                    )
                    for text, score in scores.items()
                ),
            )
            for number, scores in enumerate(rounds, 1)
        ),
        baseline_score=-2.5,
        noise_floor=0.0321,
    )


def proposing(*texts: str) -> str:
    return json.dumps({"reasons": "because", "strategies": texts})


def propose(*lines: str, feedback: Feedback | None = None, task: AgentTask | None = None) -> Proposal:
    return Agent(ScriptedChat(list(lines)), task=task or AgentTask()).propose(feedback or Feedback())


ROUND_1 = measured({"cleaning": 0.0264, "optimization": -0.02, "generation": None})


def test_a_scripted_chat_is_a_chat_model() -> None:
    chat: ChatModel = ScriptedChat([""])
    assert Agent(chat, task=AgentTask()).transcript[0][0] == "system"


def test_a_good_reply_becomes_a_proposal_without_repairs() -> None:
    proposal = propose(proposing("cleaning", "cleaning>optimization"), task=AgentTask(num_strategies=2))
    assert proposal.strategies == (strategy("cleaning"), strategy("cleaning>optimization"))
    assert (proposal.source, proposal.decision, proposal.repairs) == (ProposalSource.AGENT, PolicyDecision.CONTINUE, 0)
    assert (proposal.reasons, proposal.notes, proposal.best) == ("because", (), None)
    assert proposal.tokens == 40


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_first_round_states_the_task_the_rule_the_teams_and_the_number(language: str) -> None:
    task = AgentTask(language=language, domain="medicine", num_strategies=3, max_rounds=7)  # type: ignore[arg-type]
    told = system_message(task)[1] + round_message(task, Feedback())[1]
    for word in ("medicine", "cleaning", "optimization", "generation", "selection", "3", "7", "JSON", "6"):
        assert word in told
    assert ("black box" in told and "Start small" in told) or ("黑盒" in told and "从小处着手" in told)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_later_rounds_show_all_scores_with_intervals_and_failures_as_failed(language: str) -> None:
    task = AgentTask(language=language)  # type: ignore[arg-type]
    feedback = measured({"cleaning": 0.0264, "generation": None}, {"cleaning>selection": -0.5})
    told = round_message(task, feedback)[1]
    for word in ("+0.0264", "+0.0164", "+0.0364", "-0.5000", "-2.5000", "0.0321", "none_needed", '"best"'):
        assert word in told
    failed = next(line for line in told.splitlines() if "generation" in line)
    assert ("failed" in failed) or ("失败" in failed)
    assert "0.0" not in failed
    assert ("Round 3 of at most 5" in told) or ("第 3 轮，最多 5 轮" in told)


def test_a_team_that_is_switched_off_is_told_of_nowhere() -> None:
    task = AgentTask(teams=("cleaning", "generation"))
    for text in (system_message(task)[1], round_message(task, Feedback())[1], reply_schema(task, Feedback())):
        assert "selection" not in text
        assert "optimization" not in text


def test_every_call_has_its_own_seed() -> None:
    chat = ScriptedChat(["", "", proposing("cleaning"), proposing("optimization")])
    agent = Agent(chat, task=AgentTask(), seed=5)
    agent.propose(Feedback())
    agent.propose(measured({"cleaning": 0.1}))
    assert len(set(chat.seeds)) == 4


def test_a_bad_reply_is_answered_with_what_was_wrong() -> None:
    chat = ScriptedChat([proposing("labelling"), proposing("cleaning")])
    proposal = Agent(chat, task=AgentTask()).propose(Feedback())
    assert proposal.repairs == 1
    assert proposal.source is ProposalSource.AGENT
    assert "unknown team 'labelling'" in proposal.notes[0]
    repair = chat.asked[1]
    assert [role for role, _ in repair] == ["system", "user", "assistant", "user"]
    assert "unknown team 'labelling'" in repair[-1][1]


BAD_REPLIES = {
    "prose": "I would clean first, and then we shall see.",
    "wrong language": "Je propose de nettoyer les données.",
    "endless thinking": "<think>" + "but on the other hand " * 4000,
    "empty": "",
    "100 kB": "lorem ipsum { [ " * 6500,
    "wrong types": '{"strategies": {"a": 1}, "decision": [], "best": 3}',
    "unicode junk": "\u202e\ud800\x00\ufffe𓂀" * 50,
    "unknown teams": proposing("labelling", "masking"),
    "the baseline alone": proposing("none"),
    "a stop before any score": '{"decision": "none_needed"}',
    "a best before any score": '{"decision": "best", "best": "cleaning"}',
}


@pytest.mark.parametrize("kind", BAD_REPLIES)
def test_a_reply_that_stays_bad_ends_in_the_fallback_after_two_repairs(kind: str) -> None:
    chat = ScriptedChat([BAD_REPLIES[kind]])
    agent = Agent(chat, task=AgentTask())
    proposal = agent.propose(Feedback())
    assert len(chat.asked) == 3
    assert [one.text for one in proposal.strategies] == ["cleaning", "optimization", "generation", "selection"]
    assert (proposal.source, proposal.decision, proposal.repairs) == (
        ProposalSource.FALLBACK,
        PolicyDecision.CONTINUE,
        2,
    )
    assert proposal.tokens == 3 * 40, "refused replies are paid for too"
    assert len(proposal.notes) == 3
    assert len(agent.transcript) == 1
    assert max(len(content) for asked in chat.asked for _, content in asked) < 5000


def test_five_strategies_are_all_kept_and_of_seven_the_first_six() -> None:
    texts = [one.text for one in strategy_space()[1:8]]
    assert [one.text for one in propose(proposing(*texts[:5])).strategies] == texts[:5]
    seven = propose(proposing(*texts))
    assert [one.text for one in seven.strategies] == texts[:6]
    assert any("only the first 6" in note for note in seven.notes)


def test_tried_strategies_are_left_out_and_noted_whether_scored_or_failed() -> None:
    proposal = propose(proposing("cleaning", "generation", "cleaning>selection", "selection"), feedback=ROUND_1)
    assert [one.text for one in proposal.strategies] == ["cleaning>selection", "selection"]
    assert proposal.notes == (
        "cleaning was already tried; left out",
        "generation was already tried; left out",
    )


def test_proposing_only_tried_strategies_is_repaired_and_then_falls_back_to_neighbours_of_the_best() -> None:
    chat = ScriptedChat([proposing("cleaning", "optimization")])
    proposal = Agent(chat, task=AgentTask()).propose(ROUND_1)
    assert "already tried: cleaning, optimization" in chat.asked[1][-1][1]
    assert proposal.source is ProposalSource.FALLBACK
    assert [one.text for one in proposal.strategies] == [
        "cleaning>optimization",
        "cleaning>generation",
        "cleaning>selection",
        "optimization>cleaning",
    ]


def test_the_best_must_have_a_score() -> None:
    stop = json.dumps({"decision": "best", "strategies": [], "best": "cleaning"})
    proposal = propose(stop, feedback=ROUND_1)
    assert (proposal.decision, proposal.best, proposal.strategies) == (PolicyDecision.BEST, strategy("cleaning"), ())
    for unscored in ("selection", "generation"):
        chat = ScriptedChat([json.dumps({"decision": "best", "best": unscored}), stop])
        proposal = Agent(chat, task=AgentTask()).propose(ROUND_1)
        assert f"'{unscored}' has no score" in chat.asked[1][-1][1]
        assert (proposal.best, proposal.repairs) == (strategy("cleaning"), 1)


NO_PROCESSING = "【No Processing Required for Original Data】"
STOP = {"reasons": "enough", "decision": "best", "strategies": [], "best": "cleaning"}


def test_none_needed_is_heard_once_something_was_scored() -> None:
    proposal = propose(NO_PROCESSING, feedback=measured({"cleaning": 0.0064, "optimization": -0.02}))
    assert (proposal.decision, proposal.strategies, proposal.source) == (
        PolicyDecision.NONE_NEEDED,
        (),
        ProposalSource.AGENT,
    )


def test_a_first_round_that_is_too_small_is_topped_up_and_says_so() -> None:
    proposal = propose(proposing("optimization", "cleaning>selection"))
    assert [one.text for one in proposal.strategies] == ["optimization", "cleaning>selection", "cleaning", "generation"]
    assert proposal.source is ProposalSource.AGENT
    assert proposal.notes == ("only 2 of 4 strategies were proposed; added: cleaning, generation",)
    later = propose(json.dumps({"decision": "continue", "strategies": ["selection"]}), feedback=ROUND_1)
    assert ([one.text for one in later.strategies], later.notes) == (["selection"], ())
    whole = propose(proposing("cleaning"), task=AgentTask(teams=("cleaning",)))
    assert (whole.strategies, whole.notes) == ((strategy("cleaning"),), ())


@pytest.mark.parametrize("stop", [STOP, {**STOP, "decision": "none_needed"}, {**STOP, "best": None}])
def test_a_stop_beside_new_strategies_counts_as_going_on(stop: dict[str, object]) -> None:
    proposal = propose(json.dumps({**stop, "strategies": ["cleaning", "selection"]}), feedback=ROUND_1)
    assert (proposal.decision, proposal.best, proposal.repairs) == (PolicyDecision.CONTINUE, None, 0)
    assert [one.text for one in proposal.strategies] == ["selection"]
    assert any("the decision is to stop, but" in note for note in proposal.notes)


def test_a_stop_beside_strategies_that_were_all_tried_is_a_stop() -> None:
    proposal = propose(json.dumps({**STOP, "strategies": ["cleaning", "optimization"]}), feedback=ROUND_1)
    assert (proposal.decision, proposal.best, proposal.strategies) == (PolicyDecision.BEST, strategy("cleaning"), ())


def test_a_strategy_that_is_surely_better_than_nothing_counts_though_another_scored_higher_by_chance() -> None:
    results = (
        StrategyScore(strategy=strategy("selection"), score=0.05, ci95=(-0.01, 0.11)),
        StrategyScore(strategy=strategy("cleaning"), score=0.03, ci95=(0.01, 0.05)),
    )
    feedback = Feedback(rounds=(RoundScores(round=1, results=results),), baseline_score=-2.5, noise_floor=0.02)
    with pytest.raises(ReplyError, match="'cleaning' scores above zero with its whole interval"):
        require_agreement(parse_reply(NO_PROCESSING), feedback)
    require_agreement(
        parse_reply(NO_PROCESSING), replace(feedback, rounds=(RoundScores(round=1, results=results[:1]),))
    )


CONTRADICTED = {
    "none needed under an interval above zero": (NO_PROCESSING, "'cleaning' scores above zero with its whole interval"),
    "another is surely better": (json.dumps({**STOP, "best": "optimization"}), "lies below that of 'cleaning'"),
}


@pytest.mark.parametrize("kind", CONTRADICTED)
def test_a_stop_that_the_intervals_contradict_is_asked_about_and_then_the_search_goes_on(kind: str) -> None:
    reply, said = CONTRADICTED[kind]
    chat = ScriptedChat([reply])
    proposal = Agent(chat, task=AgentTask()).propose(ROUND_1)
    assert said in chat.asked[1][-1][1]
    assert (proposal.decision, proposal.source) == (PolicyDecision.CONTINUE, ProposalSource.FALLBACK)
    assert proposal.strategies == fallback_strategies(ROUND_1.scores, k=4)
    assert [said in note for note in proposal.notes] == [True] * 3


@pytest.mark.parametrize("kind", CONTRADICTED)
def test_where_the_agents_word_is_trusted_it_ends_the_search_against_the_intervals(kind: str) -> None:
    chat = ScriptedChat([CONTRADICTED[kind][0]])
    proposal = Agent(chat, task=AgentTask(), trust_stop=True).propose(ROUND_1)
    assert proposal.decision is not PolicyDecision.CONTINUE
    assert (proposal.repairs, proposal.strategies) == (0, ())


def test_a_best_that_is_surely_worse_than_no_processing_is_refused() -> None:
    chat = ScriptedChat([json.dumps(STOP), proposing("selection")])
    proposal = Agent(chat, task=AgentTask()).propose(measured({"cleaning": -0.02}))
    assert "'cleaning' scores below zero with its whole interval" in chat.asked[1][-1][1]
    assert proposal.strategies == (strategy("selection"),)


def test_a_best_that_overlaps_the_highest_score_is_heard() -> None:
    close = measured({"cleaning": 0.02, "optimization": 0.035})
    assert propose(json.dumps(STOP), feedback=close).best == strategy("cleaning")


def test_the_transcript_grows_by_a_question_and_an_understood_answer_a_round() -> None:
    chat = ScriptedChat(
        ["<think>hm</think>gibberish", "<think>ah</think>" + proposing("cleaning"), proposing("selection")]
    )
    agent = Agent(chat, task=AgentTask())
    first = agent.propose(Feedback())
    agent.propose(measured({"cleaning": 0.1}))
    assert [role for role, _ in agent.transcript] == ["system", "user", "assistant", "user", "assistant"]
    assert json.loads(agent.transcript[2][1])["strategies"] == ["cleaning"]
    assert "gibberish" not in "".join(content for _, content in chat.asked[-1])
    assert [role for role, _ in first.turns] == ["user", "assistant", "user", "assistant"]
    assert "gibberish" in first.turns[1][1]


def test_a_resumed_agent_asks_exactly_what_the_unbroken_one_asks() -> None:
    unbroken = ScriptedChat([proposing("cleaning"), proposing("selection")])
    agent = Agent(unbroken, task=AgentTask(), seed=3)
    first = agent.propose(Feedback())
    agent.propose(measured({"cleaning": 0.1}))
    resumed = ScriptedChat([proposing("selection")])
    Agent(resumed, task=AgentTask(), seed=3, kept=first.kept).propose(measured({"cleaning": 0.1}))
    assert (resumed.asked[0], resumed.seeds[0]) == (unbroken.asked[1], unbroken.seeds[1])


def test_a_fault_of_the_endpoint_is_no_reply_and_gets_no_fallback() -> None:
    agent = Agent(ScriptedChat([EndpointError("refused")]), task=AgentTask())
    with pytest.raises(EndpointError, match="refused"):
        agent.propose(Feedback())
    assert len(agent.transcript) == 1


def test_the_schema_allows_open_strategies_and_scored_ones_as_best() -> None:
    first = json.loads(reply_schema(AgentTask(), Feedback()))["properties"]
    assert list(first) == ["reasons", "strategies"]
    assert len(first["strategies"]["items"]["enum"]) == 64
    later = json.loads(reply_schema(AgentTask(), ROUND_1))["properties"]
    assert set(later) == {"reasons", "decision", "strategies", "best"}
    assert len(later["strategies"]["items"]["enum"]) == 61
    assert later["best"]["enum"] == ["cleaning", "optimization", None]


def test_when_everything_was_tried_only_a_stop_is_open() -> None:
    task = AgentTask(teams=("cleaning",))
    everything = measured({"cleaning": 0.1})
    schema = json.loads(reply_schema(task, everything))["properties"]
    assert schema["decision"]["enum"] == ["best", "none_needed"]
    assert "strategies" not in schema
    assert '- "continue"' not in round_message(task, everything)[1]
    ended = propose(proposing("cleaning"), feedback=everything, task=task)
    assert (ended.strategies, ended.source) == ((), ProposalSource.FALLBACK)


def test_when_all_failed_the_search_can_only_go_on() -> None:
    schema = json.loads(reply_schema(AgentTask(), measured({"cleaning": None})))["properties"]
    assert list(schema) == ["reasons", "strategies"]
    told = round_message(AgentTask(), measured({"cleaning": None}))[1]
    assert '- "best"' not in told


@pytest.mark.parametrize("feedback", [Feedback(), ROUND_1], ids=["first round", "later round"])
def test_the_grammar_engine_takes_the_schema_and_holds_replies_to_it(feedback: Feedback) -> None:
    grammar = xgrammar.Grammar.from_json_schema(reply_schema(AgentTask(), feedback))
    assert "optimization" in str(grammar)
    good: dict[str, object] = {"reasons": "x", "strategies": ["selection"]}
    if feedback.scored:
        good = {"reasons": "x", "decision": "continue", "strategies": ["selection"], "best": None}
    assert accepts(grammar, json.dumps(good))
    assert not accepts(grammar, json.dumps({**good, "strategies": ["labelling"]}))
    assert accepts(grammar, json.dumps({**good, "strategies": ["cleaning"]})) == (not feedback.scored)


def accepts(grammar: xgrammar.Grammar, text: str) -> bool:
    tokens = [bytes([byte]) for byte in range(256)] + [b"<end>"]
    info = xgrammar.TokenizerInfo(tokens, stop_token_ids=[256])
    matcher = xgrammar.GrammarMatcher(xgrammar.GrammarCompiler(info).compile_grammar(grammar))
    return bool(matcher.accept_string(text)) and matcher.accept_token(256)


def test_characters_that_utf8_cannot_carry_never_leave_the_agent() -> None:
    chat = ScriptedChat(
        [
            '{"strategies": ["\\ud800clean"]}',
            "\ud800",
            '{"strategies": ["cleaning", "\\udfff"], "reasons": "\\ud83d odd"}',
        ]
    )
    agent = Agent(chat, task=AgentTask(num_strategies=1))
    proposal = agent.propose(Feedback())
    said = [*proposal.turns, *agent.transcript, *(turn for asked in chat.asked for turn in asked)]
    assert proposal.strategies == (strategy("cleaning"),)
    for text in (*proposal.notes, proposal.reasons, *(content for _, content in said)):
        assert text.encode("utf-8").decode("utf-8") == text


@given(st.lists(st.text(max_size=60), min_size=3, max_size=3), st.sampled_from([Feedback(), ROUND_1]))
def test_no_reply_crashes_a_round(lines: list[str], feedback: Feedback) -> None:
    proposal = propose(*lines, feedback=feedback)
    assert proposal.repairs <= 2
    assert not set(proposal.strategies) & set(feedback.scores)
    assert len(proposal.strategies) <= 6
