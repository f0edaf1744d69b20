"""Which chat models a command asks, which of them read rows, and what else operators are lent."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pytest

from actors.models.embedder import SentenceEmbedder
from actors.models.source import resolve_model
from actors.storage.storage import Storage
from autodp_ray.cluster.needed import needed_roles
from autodp_ray.config.run_config import Config
from autodp_ray.runs.services import lent_embedder
from autodp_ray.strategy import Team
from operators.contract.operator import Needs, RowOperator
from tests.autodp_ray.run_fakes import make_config, model_folder

CHAT = {"model": "scripted", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
JUDGE = {"model": "judge", "engine": "endpoint", "base_url": "http://127.0.0.1:8/v1"}


class Embeds(RowOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(embedder=True)
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["embeds"] = "embeds"


def config(evaluator: str, policy: str = "agent", **judge: object) -> Config:
    models = {"agent": CHAT, "operators": CHAT, "tuned": {"model": "m"}, **judge}
    return make_config("data.jsonl", models=models, evaluation={"evaluator": evaluator}, search={"policy": policy})


@pytest.mark.parametrize(
    ("evaluator", "teams", "roles"),
    [
        ("loss", ["cleaning"], {"agent"}),
        ("loss", ["optimization"], {"agent", "operators"}),
        ("reference", ["cleaning"], {"agent"}),
        ("judge", ["cleaning"], {"agent", "judge"}),
        ("judge", ["generation"], {"agent", "operators", "judge"}),
    ],
)
def test_a_search_asks_what_its_teams_and_its_evaluator_need(
    evaluator: str, teams: list[Team], roles: set[str]
) -> None:
    assert needed_roles(config(evaluator), teams).keys() == roles
    random = config(evaluator, policy="random")
    assert needed_roles(random, teams).keys() == roles - {"agent"}


def test_what_applies_a_strategy_judges_nothing() -> None:
    assert needed_roles(config("judge"), ["cleaning"], searches=False) == {}


def test_a_judge_is_the_operators_model_unless_it_has_a_section_of_its_own() -> None:
    alone = config("judge")
    assert needed_roles(alone, [])["judge"] == alone.models.operators
    assert needed_roles(config("judge", judge=JUDGE), [])["judge"].model == "judge"


def test_an_embedder_is_lent_where_an_operator_of_the_teams_needs_one(tmp_path: Path) -> None:
    source, cache = str(model_folder(tmp_path)), Storage.at(tmp_path / "cache")
    plain = make_config("data.jsonl", sampling={"embedder": source})
    teams = plain.teams.model_copy(update={"optimization": (Embeds(),)})
    config = plain.model_copy(update={"teams": teams})
    assert lent_embedder(config, ["cleaning"], cache) is None
    lent = lent_embedder(config, ["cleaning", "optimization"], cache)
    assert isinstance(lent, SentenceEmbedder)
    assert lent.revision == resolve_model(source).revision
