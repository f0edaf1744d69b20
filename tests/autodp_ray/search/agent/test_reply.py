"""Replies of good and bad agents: what is understood, what is refused and why, and how long it may take."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.search.agent.reply import AgentReply, PolicyDecision, ReplyError, parse_reply, without_thinking
from autodp_ray.search.agent.team_names import TeamNames
from autodp_ray.strategy import PAPER_TEAMS, strategy_space

GOOD = {"reasons": "start small", "strategies": ["cleaning", "cleaning>optimization"]}


def texts(reply: AgentReply) -> list[str]:
    return [strategy.text for strategy in reply.strategies]


def refused(text: str, *, teams: tuple[str, ...] = PAPER_TEAMS) -> str:
    with pytest.raises(ReplyError) as caught:
        parse_reply(text, names=TeamNames.of(teams))
    return caught.value.reason


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps(GOOD),
        json.dumps(GOOD, indent=2),
        f"Here is my answer:\n```json\n{json.dumps(GOOD, indent=1)}\n```\nGood luck!",
        f"```\n{json.dumps(GOOD)}\n```",
        f"I use {{braces}} freely. {json.dumps(GOOD)} That is all.",
        f"<think>maybe {{'strategies': ['selection']}}</think>\n{json.dumps(GOOD)}",
        f"the template opened the block</think>{json.dumps(GOOD)}",
        f"<THINK>hm</THINK><thinking>hm</thinking>{json.dumps(GOOD)}",
        f"{json.dumps(GOOD)}\n<think>was that right?",
        f"<think>never closed, but the answer is there: {json.dumps(GOOD)}",
        "{'strategies': ['cleaning', 'cleaning>optimization',], 'reasons': 'single quotes',}",
        '{"strategies": ["cleaning", "cleaning>optimization"], "reasons": "cut off by the token li',
        "{strategies: [cleaning, cleaning>optimization]}",
        "｛“strategies”：【“cleaning”，“cleaning＞optimization”】｝",
        '{"strategies": [["cleaning"], ["cleaning", "optimization"]]}',
        '{"combinations": [{"teams": ["Data Cleaning"]}, {"pipeline": ["Data Cleaning", "Data Optimization"]}]}',
        '{"rounds": [{"round": 1, "combinations": [{"pipeline": ["cleaning"], "reason": "r"},'
        ' {"pipeline": ["cleaning", "optimization"]}]}]}',
        '{"strategies": {"1": "cleaning", "2": "cleaning -> optimization"}}',
        '{"strategies": "cleaning, cleaning>optimization"}',
        '{"Strategies": ["数据清洗团队", "数据清洗团队→数据优化团队"]}',
        '["cleaning", "cleaning>optimization"]',
        '[{"strategies": ["cleaning", "cleaning>optimization"]}]',
        '```json\n["cleaning", "cleaning>optimization"]\n```',
        '{"strategies": ["selection"]} No, wait. {"strategies": ["cleaning", "cleaning>optimization"]}',
    ],
)
def test_json_is_understood_in_whatever_wrapping(reply: str) -> None:
    assert texts(parse_reply(reply)) == ["cleaning", "cleaning>optimization"]


PAPER_FORM = """###Combination[1]###
- Data Cleaning Team
###Combination[2]###
- Data Cleaning Team, Data Optimization Team
###Reasons for Different Combinations###
- Combination[1] shows what cleaning does alone.
- Combination[2] adds better wording."""


@pytest.mark.parametrize(
    "reply",
    [
        PAPER_FORM,
        PAPER_FORM.replace("###", "**"),
        PAPER_FORM.replace("###", ""),
        PAPER_FORM.replace("###Combination[", "### Combination ").replace("]###", ":"),
        PAPER_FORM.replace("\n- Data", " Data"),
        PAPER_FORM.replace("\n- Data", ": Data"),
        PAPER_FORM.replace("\n", "\n\n").replace("- Data", "-   **Data"),
        PAPER_FORM.replace("\n", "\r\n"),
        PAPER_FORM.replace(", ", " -> "),
        PAPER_FORM.replace(", ", " → "),
        PAPER_FORM.replace(", ", " > "),
        PAPER_FORM.replace(", ", "\n- "),
        PAPER_FORM.replace(", ", ", then the "),
        PAPER_FORM.replace("Data Cleaning Team", "Teams: Data Cleaning Team (removes copies, markup)"),
        PAPER_FORM.replace("###Combination", "1. ###Combination").replace(" Team", ""),
        PAPER_FORM.replace("Optimization", "Optimisation").lower(),
        "<think>###Combination[1]###\n- Data Selection Team</think>" + PAPER_FORM,
        "<think>I go on and on\n" + PAPER_FORM,
        "Combination 2 will be the interesting one, since it rewrites.\n" + PAPER_FORM,
        "###Reasons###\nsmall first\n" + PAPER_FORM,
        "###组合[1]###\n- 数据清洗团队\n###组合[2]###\n- 数据清洗团队，数据优化团队\n###不同组合的理由###\n- 从小开始",
        "###组合［1］###\n－ 数据清洗团队\n###组合［２］###\n－ 数据清洗团队、数据优化团队\n理由：从小开始",
        "**组合1：**数据清洗团队\n**组合2：**数据清洗团队 → 数据优化团队",
        "【组合一】\n数据清洗\n【组合二】\n数据清洗，然后数据优化",
        "团队组合1：数据清洗团队。\n团队组合2：数据清洗团队，数据优化团队。\n原因：组合1最小。",
        "方案1：清洗\n方案2：清洗＞优化",
        "1. cleaning\n2. cleaning > optimization",
    ],
)
def test_the_paper_form_is_understood_in_both_languages(reply: str) -> None:
    assert texts(parse_reply(reply)) == ["cleaning", "cleaning>optimization"]


@pytest.mark.parametrize("strategy", strategy_space()[1:], ids=str)
def test_every_strategy_is_read_back_from_every_form(strategy: object) -> None:
    text = str(strategy)
    names = {"cleaning": "清洗", "optimization": "优化", "generation": "生成", "selection": "筛选"}
    english = ", ".join(f"Data {team.title()} Team" for team in text.split(">"))
    chinese = "，".join(f"数据{names[team]}团队" for team in text.split(">"))
    for reply in (
        json.dumps({"strategies": [text]}),
        f"###Combination[1]###\n- {english}",
        f"###组合[1]###\n- {chinese}",
    ):
        assert texts(parse_reply(reply)) == [text]


@pytest.mark.parametrize(
    "reply",
    [
        '{"decision": "best", "strategies": [], "best": "cleaning>optimization", "reasons": "done"}',
        '{"decision": "stop", "best": ["cleaning", "optimization"]}',
        '{"best": "cleaning>optimization"}',
        "【Best Team】\n- Data Cleaning Team, Data Optimization Team",
        "**【Best Team】**: Data Cleaning Team → Data Optimization Team",
        "【最佳团队】\n- 数据清洗团队，数据优化团队\n理由：分数最高",
        "【最佳团队】：数据清洗团队、数据优化团队",
        "最佳团队组合：数据清洗团队，数据优化团队",
        "###Combination[1]### 【Best Team】\n- Data Cleaning Team, Data Optimization Team",
        "<think>I will mark it</think>### Best Team ###\nData Cleaning Team, Data Optimization Team",
    ],
)
def test_a_stop_with_the_best_strategy_is_understood(reply: str) -> None:
    read = parse_reply(reply)
    assert (read.decision, str(read.best), read.strategies) == (PolicyDecision.BEST, "cleaning>optimization", ())


@pytest.mark.parametrize(
    "reply",
    [
        '{"decision": "none_needed", "strategies": [], "best": null}',
        '{"decision": "none needed"}',
        '{"decision": "best", "best": "none"}',
        "【No Processing Required for Original Data】",
        "**【No Processing Required for Original Data】**\nAll scores are close to zero.",
        "【原始数据无需处理】",
        "【原始数据无需处理】，因为所有得分都接近零。",
        "No processing is required.",
        "分数都接近零。\n【原始数据不需要任何处理】",
    ],
)
def test_a_stop_because_nothing_is_needed_is_understood(reply: str) -> None:
    read = parse_reply(reply)
    assert (read.decision, read.best, read.strategies) == (PolicyDecision.NONE_NEEDED, None, ())


def test_a_marker_that_is_only_spoken_of_stops_nothing() -> None:
    reply = PAPER_FORM + "\nI do not write 【Best Team】 yet, nor 【No Processing Required for Original Data】."
    assert parse_reply(reply).decision is PolicyDecision.CONTINUE
    beside = parse_reply("【No Processing Required for Original Data】\n" + PAPER_FORM)
    assert beside.decision is PolicyDecision.CONTINUE
    assert any("beside new strategies" in note for note in beside.notes)
    assert (
        parse_reply("Best team so far is unclear.\n最佳团队还没有找到。\n" + PAPER_FORM).decision
        is PolicyDecision.CONTINUE
    )
    assert "no JSON object" in refused("No processing required for original data would be a hasty conclusion.")


def test_repeats_are_dropped_and_a_seventh_strategy_is_cut_and_both_are_noted() -> None:
    singles = ["cleaning", "optimization", "generation", "selection", "cleaning"]
    read = parse_reply(json.dumps({"strategies": singles}))
    assert texts(read) == singles[:4]
    assert read.notes == ("strategy 5: repeats cleaning",)
    seven = [strategy.text for strategy in strategy_space()[1:8]]
    read = parse_reply(json.dumps({"strategies": seven}))
    assert texts(read) == seven[:6]
    assert "7 strategies were proposed; only the first 6 are kept" in read.notes


def test_a_fifth_strategy_is_kept_since_six_are_allowed() -> None:
    five = [strategy.text for strategy in strategy_space()[1:6]]
    lines = "\n".join(f"###Combination[{at}]###\n- {text.replace('>', ', ')}" for at, text in enumerate(five, 1))
    assert texts(parse_reply(lines)) == five


def test_a_bad_strategy_beside_good_ones_is_left_out_with_its_reason() -> None:
    read = parse_reply('{"strategies": ["cleaning", "labeling", "cleaning>cleaning", "none", 7, ["generation"]]}')
    assert texts(read) == ["cleaning", "generation"]
    assert [note.split("; ")[0] for note in read.notes] == [
        "strategy 2: unknown team 'labeling'",
        "strategy 3: team 'cleaning' appears twice",
        "strategy 4: no processing is the baseline and is already measured",
        "strategy 5: unknown team '7'",
    ]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "the reply is empty"),
        (" \n\t\u3000", "the reply is empty"),
        ("<think></think>", "the reply is empty"),
        ("<think>" + "and so on " * 5000, "ends inside its thinking"),
        ("<think>I could stop.\n【No Processing Required for Original Data】", "ends inside its thinking"),
        ("I think we should clean the data first and see.", "no JSON object and no ###Combination[k]### heading"),
        ("Je ne sais pas quoi proposer.", "no JSON object"),
        ("{}", "no JSON object"),
        ("null", "no JSON object"),
        ('{"strategies": []}', "proposes no strategy"),
        ('{"strategies": null, "decision": "continue"}', "proposes no strategy"),
        ('{"strategies": 5}', "strategy 1: unknown team '5'"),
        ('{"strategies": [null, true, {}]}', "strategy 1: names no team"),
        ('{"strategies": ["labelling"]}', "the teams are cleaning, optimization, generation, selection"),
        ('{"strategies": ["generatoin>cleaning"]}', "unknown team 'generatoin' (nearest: 'generation')"),
        ('{"strategies": ["cleaning>cleaning"]}', "team 'cleaning' appears twice"),
        ('{"strategies": ["none"]}', "no processing is the baseline"),
        ('{"decision": "best"}', "but none is named"),
        ('{"decision": "best", "best": "the second one"}', "the best strategy cannot be read: unknown team"),
        ("【Best Team】", "but none is named"),
        ("【Best Team】: Combination[2]", "the best strategy cannot be read"),
        ("###Combination[1]###", "strategy 1: names no team"),
        ("###Combination[1]###\n- Data Labelling Team", "strategy 1: unknown team 'data labelling team'"),
        ("###组合[1]###\n- 数据标注团队", "strategy 1: unknown team '数据标注团队'"),
    ],
)
def test_a_useless_reply_is_refused_with_what_was_wrong(reply: str, said: str) -> None:
    assert said in refused(reply)


def test_a_team_that_is_switched_off_is_refused() -> None:
    reason = refused('{"strategies": ["cleaning>selection"]}', teams=("cleaning", "generation"))
    assert reason == "strategy 1: team 'selection' is switched off"


def test_reasons_are_kept_short_and_on_one_line() -> None:
    assert "Combination[2] adds better wording" in parse_reply(PAPER_FORM).reasons
    long = parse_reply(json.dumps({"strategies": ["cleaning"], "reasons": "so\nmany words " * 1000}))
    assert "\n" not in long.reasons
    assert len(long.reasons) <= 600


def test_a_refusal_quotes_only_a_short_piece_of_the_reply() -> None:
    assert len(refused(json.dumps({"strategies": ["x" * 90_000] * 40}))) < 1000


def test_thinking_is_cut_out_whatever_tag_is_missing() -> None:
    assert without_thinking("<think>a</think> b <think>c</think> d") == "b  d"
    assert without_thinking("a</think>b") == "b"
    assert without_thinking("a<think>b") == "a"
    assert without_thinking("a<think>b<think>c</think>d") == "ad"


BAD_PIECES = [
    "[{",
    "{",
    '{"strategies":',
    '{"strategies":[',
    '{"strategies":"',
    '"best":{',
    "<think>",
    "</think>",
    "```",
    "```[",
    "###Combination[1]###\n",
    "Combination 1 ",
    "cleaning>",
    "cleaning, then ",
    "((((",
    "- ",
    "最佳团队",
    "a\u0327\u0301",
    "\ufdfa",
    "\U0001f9f9",
    "\ud800",
    "reasons: ",
    "*#*#",
    " ",
    "\n",
    "'",
    "no processing ",
]


@pytest.mark.parametrize("piece", BAD_PIECES)
@pytest.mark.parametrize("tail", ["", json.dumps(GOOD)])
def test_a_reply_of_100_kilobytes_takes_well_under_a_second_of_processor_time(piece: str, tail: str) -> None:
    reply = piece * (100_000 // len(piece)) + tail
    started = time.thread_time()
    with suppress(ReplyError):
        parse_reply(reply)
    assert time.thread_time() - started < 1.0


def test_an_answer_after_100_kilobytes_of_prose_is_found() -> None:
    prose = "The data may hold copies, odd marks (or worse), and {strange} things. " * 1500
    assert texts(parse_reply(prose + json.dumps(GOOD))) == ["cleaning", "cleaning>optimization"]
    assert texts(parse_reply(prose + "\n" + PAPER_FORM)) == ["cleaning", "cleaning>optimization"]


def parses_or_refuses(reply: str) -> None:
    try:
        read = parse_reply(reply)
    except ReplyError:
        return
    assert len(read.strategies) <= 6
    assert len(set(read.strategies)) == len(read.strategies)
    assert all(read.strategies)
    assert read.strategies or read.decision is not PolicyDecision.CONTINUE
    assert (read.best is not None) == (read.decision is PolicyDecision.BEST)


@given(st.text(max_size=400))
def test_arbitrary_text_is_parsed_or_refused(reply: str) -> None:
    parses_or_refuses(reply)


@given(st.lists(st.sampled_from(BAD_PIECES) | st.text(max_size=4), max_size=40).map("".join))
def test_shuffled_pieces_of_replies_are_parsed_or_refused(reply: str) -> None:
    parses_or_refuses(reply)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["cleaning", "cleaning>selection", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["teams", "1", "best"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["strategies", "decision", "best", "reasons"]), json_values))
def test_json_of_any_type_under_the_right_keys_is_parsed_or_refused(found: dict[str, object]) -> None:
    parses_or_refuses(json.dumps(found))
