"""The teams of a run: which operators each runs, and what it is called. Knows no strategy and no search."""

from __future__ import annotations

import difflib
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from autodp_ray.strategy import Team, require_team_name
from operators.registry import CLEANING_RECIPE, GENERATION_RECIPE, OPTIMIZATION_RECIPE, SELECTION_RECIPE, AnyOperator

Recipe = tuple[AnyOperator, ...]

_TOO_NEAR = 0.8
"""Likeness of a name to that of a team of the paper from which on it is taken for a slip of the pen."""


class TeamSpec(BaseModel):
    """A team that has a description or further names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    """The operators of the team, which run in the order listed."""
    description: str | None = Field(default=None, min_length=1, max_length=2000)
    """One line in the agent's prompt that says what the team does; null takes the descriptions of its operators."""
    spellings: tuple[Annotated[str, Field(min_length=1, max_length=40)], ...] = ()
    """Further names that the agent may call it by, in any language, each of one word."""


def _form_of(value: object) -> str:
    return "[recipe]" if isinstance(value, (list, tuple)) else TeamSpec.__name__


AnyTeam = Annotated[
    Annotated[Recipe, Tag("[recipe]")] | Annotated[TeamSpec, Tag(TeamSpec.__name__)], Discriminator(_form_of)
]
"""A team by its recipe alone, or with its own words."""


class TeamsConfig(BaseModel):
    """The teams by name: each is the list of its operators, which run in the order listed, or a section with more.

    Any other name makes a team of your own, and strategies use it as they use the four.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, AnyTeam] = Field(init=False)

    cleaning: AnyTeam = CLEANING_RECIPE
    """Repairs and drops rows by rules."""
    optimization: AnyTeam = OPTIMIZATION_RECIPE
    """Rewrites rows with `models.operators`."""
    generation: AnyTeam = GENERATION_RECIPE
    """Fills missing fields and adds rows, with `models.operators`."""
    selection: AnyTeam = SELECTION_RECIPE
    """Keeps the rows that help the tuned model most."""

    @model_validator(mode="after")
    def _names_of_teams(self) -> Self:
        for name in self.__pydantic_extra__:
            near = difflib.get_close_matches(name, TeamsConfig.model_fields, n=1, cutoff=_TOO_NEAR)
            if near:
                raise ValueError(
                    f"unknown key {name}; did you mean {near[0]}? A team of your own needs a name that is less like it"
                )
            require_team_name(name)
        return self

    @property
    def names(self) -> tuple[Team, ...]:
        """All teams, the four first."""
        return (*TeamsConfig.model_fields, *self.__pydantic_extra__)

    def team(self, name: Team) -> TeamSpec:
        """Raises: KeyError for a team that is not there."""
        found = getattr(self, name) if name in TeamsConfig.model_fields else self.__pydantic_extra__[name]
        return found if isinstance(found, TeamSpec) else TeamSpec(recipe=found)

    def recipe(self, name: Team) -> Recipe:
        """Raises: KeyError for a team that is not there."""
        return self.team(name).recipe
