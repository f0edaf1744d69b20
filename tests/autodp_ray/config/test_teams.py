"""A fifth team is configuration: its recipe, its words, the strategies made of it."""

from __future__ import annotations

import pytest

from autodp_ray.config.run_config import Config, build_config
from autodp_ray.search.agent.messages import AgentTask, system_message
from autodp_ray.search.agent.reply import parse_reply
from autodp_ray.search.agent.team_names import TeamNames
from autodp_ray.search.agent.team_words import team_words
from autodp_ray.strategy import PAPER_TEAMS, Strategy, strategy_space
from operators.contract.errors import InputError
from operators.deduplicate import Deduplicate
from operators.registry import CLEANING_RECIPE, SELECTION_RECIPE
from operators.strip_markup import StripMarkup
from tests.autodp_ray.run_fakes import config_values

SCRUBBING = {
    "recipe": [{"name": "strip_markup"}, {"name": "deduplicate"}],
    "description": "takes tags out",
    "spellings": ["Scrubber", "去标签"],
}


def built(*overrides: str, **sections: object) -> Config:
    return build_config(config_values("data.jsonl", **sections), overrides)


def test_a_team_of_ones_own_is_searched_like_the_four() -> None:
    config = built(teams={"scrubbing": SCRUBBING})
    assert config.teams.recipe("scrubbing") == (StripMarkup(), Deduplicate())
    assert (config.teams.recipe("cleaning"), config.teams.recipe("selection")) == (CLEANING_RECIPE, SELECTION_RECIPE)
    assert config.search.teams == config.teams.names == (*PAPER_TEAMS, "scrubbing")
    assert len(strategy_space(config.search.teams)) == 1 + 5 + 20 + 60 + 120 + 120
    assert Strategy.parse("scrubbing>cleaning", teams=config.search.teams).teams == ("scrubbing", "cleaning")
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_the_search_may_leave_it_out_or_have_nothing_else() -> None:
    teams = {"scrubbing": SCRUBBING["recipe"]}
    assert built("search.teams=[cleaning]", teams=teams).search.teams == ("cleaning",)
    assert built("search.teams=[scrubbing]", teams=teams).search.teams == ("scrubbing",)


def test_the_four_may_get_words_too() -> None:
    config = built(teams={"cleaning": {"recipe": [{"name": "strip_markup"}], "spellings": ["tidying"]}})
    assert config.teams.recipe("cleaning") == (StripMarkup(),)
    assert config.search.teams == PAPER_TEAMS


def test_the_seed_at_the_top_reaches_its_operators() -> None:
    config = built(teams={"scrubbing": SCRUBBING}, seed=7)
    assert [one.seed for one in config.teams.recipe("scrubbing")] == [7, 7]


def test_the_agent_is_told_of_it_and_heard_by_any_of_its_names() -> None:
    config = built(teams={"scrubbing": SCRUBBING})
    team = config.teams.team("scrubbing")
    words = team_words(team.recipe, "en", description=team.description)
    _, told = system_message(AgentTask(teams=("cleaning", "scrubbing"), team_words=("cleans.", words)))
    assert "- scrubbing: takes tags out\n" in told
    assert "Scrubber" not in told
    names = TeamNames.of(("cleaning", "scrubbing"), {"scrubbing": team.spellings})
    for spelled in ("scrubbing", "Scrubber", "Data Scrubber Team", "去标签", "去标签团队"):
        reply = parse_reply(f'{{"strategies": ["{spelled} > cleaning"]}}', names=names)
        assert [one.text for one in reply.strategies] == ["scrubbing>cleaning"], spelled
    assert "markup" in team_words(team.recipe, "en")


@pytest.mark.parametrize(
    ("teams", "said"),
    [
        ({"clening": []}, "unknown key clening; did you mean cleaning?"),
        ({"Tidy Up": []}, "'Tidy Up' cannot name a team"),
        ({"none": []}, "'none' cannot name a team"),
        ({"a>b": []}, "'a>b' cannot name a team"),
        ({"tidying": []}, "search.teams lists tidying, but teams.tidying has no operators"),
        ({"tidying": {}}, "teams.tidying.recipe is missing"),
        ({"tidying": 3}, "teams.tidying: must be a section of settings, not 3"),
        ({"tidying": {"recipes": [], "recipe": []}}, "unknown key teams.tidying.recipes; did you mean recipe?"),
        (
            {"tidying": [{"name": "strip_markup"}, {"name": "token_cuont"}]},
            "teams.tidying.1: unknown name 'token_cuont'",
        ),
        (
            {"tidying": {"recipe": [{"name": "token_count", "max_tokns": 3}]}},
            "unknown key teams.tidying.recipe.0.max_tokns; did you mean max_tokens?",
        ),
    ],
)
def test_what_is_wrong_with_a_team_is_one_clear_line(teams: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        built(teams=teams)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_team_that_nobody_has_cannot_be_searched() -> None:
    with pytest.raises(InputError, match=r"search\.teams lists tidying, which teams does not have; it has cleaning"):
        built("search.teams=[tidying]")
