"""What a person would read as a proposal is read as one, and talk about teams is none."""

from __future__ import annotations

import json

import pytest

from autodp_ray.search.agent.reply import PolicyDecision, ReplyError, parse_reply

GOOD = json.dumps({"reasons": "small first", "strategies": ["cleaning", "cleaning>optimization"]})
FORM = '{"reasons": "what the comparison shows", "decision": "...", "strategies": ["..."], "best": null}'


def texts(reply: str) -> list[str]:
    return [strategy.text for strategy in parse_reply(reply).strategies]


@pytest.mark.parametrize(
    "reply",
    [
        '{"strategies": ["data_cleaning", "data_cleaning>data_optimization"]}',
        '{"strategies": ["DataCleaning", "data-cleaning -> data-optimization"]}',
        '{"strategies": ["cleaning: a small start", "cleaning > optimization: better wording"]}',
        '{"策略": ["清洗", "清洗>优化"], "理由": "从小开始"}',
        '{"策略": ["清理", "清理→優化"]}',
        '{"組合": [{"團隊": ["清理"]}, {"團隊": ["清理", "優化"]}]}',
        '{"Combination 1": ["cleaning"], "Combination 2": ["cleaning", "optimization"]}',
        '{"combination_1": "cleaning", "combination_2": "cleaning > optimization", "reasons": "r"}',
        '{"组合1": "清洗", "组合2": "清洗 > 优化"}',
        '{"combinations": {"Combination 1": ["cleaning"], "Combination 2": ["cleaning", "optimization"]}}',
        '{"strategies": [{"name": "A", "teams": [{"team": "cleaning"}]}, {"steps": ["cleaning", "optimization"]}]}',
        '{"answer": {"strategies": ["cleaning", "cleaning>optimization"]}}',
        '{"strategies": ["cleaning", "cleaning ＞ optimization",],}',
        f"{GOOD}\nI kept to this form: {FORM}",
        f"```json\n{GOOD}\n```\n```json\n{FORM}\n```",
        f"<thinking>maybe selection</thinking>{GOOD}",
        f"<|channel|>analysis<|message|>selection?<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
        "1. cleaning: a small start\n2. cleaning > optimization: reads better",
        "1. **cleaning** - a small start\n2. **cleaning → optimization** - reads better",
        "- `cleaning`\n- `cleaning => optimization` (reads better)",
        "| # | Strategy | Reason |\n|---|---|---|\n| 1 | cleaning | small |\n| 2 | cleaning > optimization | reads |",
        "第一种组合：清洗\n第二种组合：清洗 → 优化",
        "第1個組合：清理\n第2個組合：清理，優化",
        "Option 1: cleaning\nOption 2: cleaning -> optimization - reads better",
        "**Strategy 1:** Data Cleaning Team\n**Strategy 2:** Data Cleaning Team → Data Optimization Team",
        "1) 清洗：先从小处着手\n2) 清洗＞优化：更通顺",
    ],
)
def test_any_shape_of_a_proposal_is_read(reply: str) -> None:
    assert texts(reply) == ["cleaning", "cleaning>optimization"]


def test_traditional_names_are_teams() -> None:
    assert texts("組合1：清理，優化，生成，選擇") == ["cleaning>optimization>generation>selection"]


@pytest.mark.parametrize(
    "reply",
    [
        "###Best Team[1]###\n- Data Cleaning Team, Data Optimization Team",
        "### Best Team [1] ###\nData Cleaning Team → Data Optimization Team",
        '{"決策": "最佳", "最佳": "清理>優化"}',
        '{"decision": "best", "best": {"teams": ["cleaning", "optimization"]}}',
    ],
)
def test_a_best_team_is_read(reply: str) -> None:
    read = parse_reply(reply)
    assert (read.decision, str(read.best)) == (PolicyDecision.BEST, "cleaning>optimization")


@pytest.mark.parametrize(
    "reply", ["none", "None.", "数据无需处理。", "原始數據不需要處理", '{"decision": "无需处理"}', "None needed"]
)
def test_none_in_words_is_read(reply: str) -> None:
    assert parse_reply(reply).decision is PolicyDecision.NONE_NEEDED


@pytest.mark.parametrize(
    "reply",
    [
        "I would first look at cleaning, and then at optimization, before I say more.",
        "Cleaning > optimization is better than optimization > cleaning in my experience.",
        "- Cleaning: takes markup out of texts\n- Optimization: rewrites them\n- Selection: keeps the best",
        "The teams are:\n- cleaning\n- optimization\n- generation\n- selection\nWhich ones do you want?",
        "| Team | What it does |\n|---|---|\n| cleaning | takes markup out |\n| selection | keeps rows |",
        "清洗和优化哪个更好，取决于数据。",
        "清洗：去掉标签。\n优化：改写文本。",
        "What does cleaning do to the data?",
    ],
)
def test_talk_about_teams_is_no_proposal(reply: str) -> None:
    with pytest.raises(ReplyError):
        parse_reply(reply)
