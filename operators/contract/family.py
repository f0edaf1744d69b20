"""What the members of a family that settings name have in common: each is a frozen spec with a word under `name`.

In YAML the word alone is enough (`evaluator: judge`); a section gives a member's own settings (`{name: judge, ...}`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

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


@dataclass(frozen=True, slots=True)
class AlsoWritten:
    """Says in the JSON schema of a setting what else it may be written as, given the schema of its own type."""

    alternative: Callable[[JsonSchemaValue], JsonSchemaValue]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        own = handler(schema)
        return {"anyOf": [self.alternative(own), own]}


class _FromWord(AlsoWritten):
    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_section_of, handler(source))


FROM_WORD = _FromWord(lambda own: {"enum": [*own["discriminator"]["mapping"]]})
"""Lets a setting name a member by its word alone."""
TO_WORD = PlainSerializer(_as_written)
"""Writes a member without settings of its own as its word alone."""


def members_by_name(union: object, base: type[M]) -> dict[str, type[M]]:
    """The classes of an annotated union of members by their words, in the order of the union."""
    (members, *_) = get_args(union)
    classes = [each for each in get_args(members) or (members,) if issubclass(each, base)]
    return {each.model_fields["name"].default: each for each in classes}
