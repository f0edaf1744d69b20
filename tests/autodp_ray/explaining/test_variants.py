"""Variants differ from their strategy in one thing each, and the config has the teams that they are made of."""

from __future__ import annotations

from autodp_ray.explaining.variants import variants_of
from autodp_ray.strategy import NONE, TEAM_NAME, Strategy
from tests.autodp_ray.run_fakes import make_config

CONFIG = make_config("data.jsonl")


def test_one_operator_is_left_out_at_a_time_and_the_rest_keeps_its_order() -> None:
    found = variants_of(Strategy(("cleaning", "optimization")), CONFIG)
    recipe = CONFIG.teams.recipe("cleaning")
    variants = [one for one in found.variants if one.part.kind == "operator"]
    assert [one.part.name for one in variants] == [operator.name for operator in recipe]
    for at, one in enumerate(variants):
        own, rest = one.strategy.teams
        assert found.config.teams.recipe(own) == recipe[:at] + recipe[at + 1 :]
        assert rest == "optimization"


def test_a_team_of_one_operator_is_left_out_as_a_team_alone() -> None:
    (only,) = variants_of(Strategy(("optimization",)), CONFIG).variants
    assert (only.part.kind, only.strategy) == ("team", NONE)


def test_teams_are_left_out_and_neighbours_swapped() -> None:
    found = variants_of(Strategy(("cleaning", "generation", "selection")), CONFIG).variants
    rest = {str(one.part.words): str(one.strategy) for one in found if one.part.kind != "operator"}
    assert rest == {
        "team cleaning": "generation>selection",
        "team generation": "cleaning>selection",
        "team selection": "cleaning>generation",
        "order cleaning before generation": "generation>cleaning>selection",
        "order generation before selection": "cleaning>selection>generation",
    }


def test_the_config_may_run_every_variant_and_nothing_else_of_it_changes() -> None:
    found = variants_of(Strategy(("cleaning",)), CONFIG)
    used = set(found.config.search.used_teams)
    assert used >= {team for one in found.variants for team in one.strategy.teams}
    assert found.config.model_copy(update={"teams": CONFIG.teams, "search": CONFIG.search}) == CONFIG


def test_variants_are_called_after_what_they_lack_and_may_be_called_so() -> None:
    recipe = [{"name": "strip_markup"}, {"name": "strip_markup"}]
    config = make_config("data.jsonl", teams={"cleaning": recipe, "x" * 35: recipe})
    found = variants_of(Strategy(("cleaning", "x" * 35)), config)
    teams = [team for one in found.variants if one.part.kind == "operator" for team in one.strategy.teams]
    made = [team for team in teams if team not in config.teams.names]
    assert made[:2] == ["cleaning_without_strip_markup", "cleaning_without_strip_markup_2"]
    assert len(set(made)) == len(made)
    assert all(TEAM_NAME.fullmatch(name) for name in made)


def test_a_users_own_team_keeps_its_name() -> None:
    own = "cleaning_without_strip_markup"
    config = make_config("data.jsonl", teams={own: [{"name": "strip_markup"}]})
    found = variants_of(Strategy(("cleaning", own)), config)
    assert found.config.teams.recipe(own) == config.teams.recipe(own)
