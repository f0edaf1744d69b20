"""Which chat models a command asks, and which of them read rows."""

from __future__ import annotations

import pytest

from autodp_ray.cluster.needed import needed_roles
from autodp_ray.config.run_config import Config
from autodp_ray.strategy import Team
from tests.autodp_ray.run_fakes import make_config

CHAT = {"model": "scripted", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
JUDGE = {"model": "judge", "engine": "endpoint", "base_url": "http://127.0.0.1:8/v1"}


def config(evaluator: str, policy: str = "agent", **judge: object) -> Config:
    models = {"agent": CHAT, "operators": CHAT, "tuned": {"model": "m"}, **judge}
    return make_config("data.jsonl", models=models, evaluation={"evaluator": evaluator}, search={"policy": policy})


@pytest.mark.parametrize(
    ("evaluator", "teams", "roles"),
    [
        ("loss", [Team.CLEANING], {"agent"}),
        ("loss", [Team.OPTIMIZATION], {"agent", "operators"}),
        ("reference", [Team.CLEANING], {"agent"}),
        ("judge", [Team.CLEANING], {"agent", "judge"}),
        ("judge", [Team.GENERATION], {"agent", "operators", "judge"}),
    ],
)
def test_a_search_asks_what_its_teams_and_its_evaluator_need(
    evaluator: str, teams: list[Team], roles: set[str]
) -> None:
    assert needed_roles(config(evaluator), teams).keys() == roles
    random = config(evaluator, policy="random")
    assert needed_roles(random, teams).keys() == roles - {"agent"}


def test_what_applies_a_strategy_judges_nothing() -> None:
    assert needed_roles(config("judge"), [Team.CLEANING], searches=False) == {}


def test_a_judge_is_the_operators_model_unless_it_has_a_section_of_its_own() -> None:
    alone = config("judge")
    assert needed_roles(alone, [])["judge"] == alone.models.operators
    assert needed_roles(config("judge", judge=JUDGE), [])["judge"].model == "judge"
