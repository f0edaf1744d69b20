"""What the members of a family that settings name have in common: each is a frozen spec with a word under `name`.

In YAML the word alone is enough (`evaluator: judge`); a section gives a member's own settings (`{name: judge, ...}`).
"""

from __future__ import annotations

from typing import Annotated, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
"""What a member is called, in settings and in results."""


class Member(BaseModel):
    """A frozen, validated, hashable spec of one member of a family."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    name: str
    """Which member it is."""


M = TypeVar("M", bound=Member)


def _section_of(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _as_written(member: Member) -> object:
    changed = member.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    return {"name": member.name, **changed} if changed else member.name


FROM_WORD = BeforeValidator(_section_of)
"""Lets a setting name a member by its word alone."""
TO_WORD = PlainSerializer(_as_written)
"""Writes a member without settings of its own as its word alone."""


def members_by_name(union: object, base: type[M]) -> dict[str, type[M]]:
    """The classes of an annotated union of members by their words, in the order of the union."""
    (members, *_) = get_args(union)
    classes = [each for each in get_args(members) or (members,) if issubclass(each, base)]
    return {each.model_fields["name"].default: each for each in classes}
