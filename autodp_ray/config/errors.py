"""Turns what pydantic says of a config into one line for its author: the key, what is wrong, the nearest known key.

Knows settings models in general; the config itself is a model that it is given.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from operators.contract.operator import Operator
from operators.outside import find_class, offers

_SECTION = {"model_type", "model_attributes_type", "dict_type", "mapping_type"}
_LIST = {"tuple_type", "list_type"}
_EMPTY = {"too_short", "string_too_short"}
_MAX_SHOWN, _MAX_PHRASE, _MAX_FAULTS = 60, 400, 12
"""Characters of a wrong value that a message repeats, of what it says of one fault, and how many faults it names."""


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """All faults of a config of the model `root` in one line."""
    items = error.errors(include_url=False)
    faults = [_Fault.of(item, root) for item in items[:_MAX_FAULTS]]
    phrases = [_cut(phrase) for phrase in dict.fromkeys(fault.phrase(root) for fault in _told_apart(faults))]
    more = [f"and {len(items) - _MAX_FAULTS} more"] if len(items) > _MAX_FAULTS else []
    return "; ".join(phrases + more)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One error, its place freed of the labels that pydantic gives to the members of a union."""

    kind: str
    place: tuple[str, ...]
    models: tuple[type[BaseModel], ...]
    """The models that the value at the place may be."""
    message: str
    value: object
    context: Mapping[str, object]
    of_literal: bool
    """Whether it only says that a value is not one of a union's literals."""

    @classmethod
    def of(cls, item: Mapping[str, object], root: type[BaseModel]) -> _Fault:
        loc, context = item["loc"], item.get("ctx", {})
        assert isinstance(loc, tuple)
        assert isinstance(context, Mapping)
        place, models = _walk(loc if item["type"] != "extra_forbidden" else loc[:-1], root)
        if item["type"] == "extra_forbidden":
            place = (*place, str(loc[-1]))
        return cls(
            kind=str(item["type"]),
            place=place,
            models=models,
            message=str(item["msg"]),
            value=item["input"],
            context=context,
            of_literal=item["type"] == "literal_error" and bool(loc) and str(loc[-1]).startswith("literal["),
        )

    def phrase(self, root: type[BaseModel]) -> str:
        key = ".".join(_cut(part, _MAX_SHOWN) for part in self.place)
        if self.kind == "extra_forbidden":
            known = {name for model in self.models for name in model.model_fields}
            if len(self.place) == 1:
                known |= {"seed"}
            return f"unknown key {key}; {_nearest(self.place[-1], known, 'keys')}"
        if self.kind == "missing":
            return f"{key} is missing"
        if self.kind == "union_tag_invalid":
            known = {name.strip(" '") for name in str(self.context["expected_tags"]).split(",")}
            word, name = str(self.context["discriminator"]).strip("'"), str(self.context["tag"])
            known |= {offer.name for offer in offers()} if word == "name" else set()
            return f"{key}: unknown {word} {_shown(name)}; {_nearest(name, known, f'{word}s')}"
        said = self._said()
        return f"{key}: {said}" if key else said

    def _said(self) -> str:
        if self.kind == "value_error":
            return self.message.removeprefix("Value error, ")
        if self.kind == "union_tag_not_found":
            return f"needs a name, as in {{name: {_first_name(self.models)}}}, not {_shown(self.value)}"
        if self.of_literal:
            section = " or a section of settings" if self.models else ""
            return f"must be {self.context['expected']}{section}, not {_shown(self.value)}"
        if self.kind in _SECTION:
            return f"must be a section of settings, not {_shown(self.value)}"
        if self.kind in _LIST:
            return f"must be a list, not {_shown(self.value)}"
        if self.kind in _EMPTY and self.context.get("min_length") == 1:
            return "must not be empty"
        if self.kind == "string_type" and self.value is not None:
            return f"must be a string, not {_shown(self.value)}; put a text that looks like another value in quotes"
        rule = self.message.partition(", unable to")[0].replace("Input should", "must", 1)
        rule = rule.replace("a valid integer", "a whole number").replace("a valid ", "a ")
        return f"{rule}, not {_shown(self.value)}"


def _walk(loc: Sequence[object], root: type[BaseModel]) -> tuple[tuple[str, ...], tuple[type[BaseModel], ...]]:
    """The dotted names of a place, and the models that may stand there."""
    models: list[type[BaseModel]] = [root]
    place: list[str] = []
    for part in loc:
        fields = [found for model in models if (found := _type_of(model, part)) is not None]
        if fields:
            models = [found for annotation in fields for found in models_in(annotation)]
        elif chosen := [model for model in models if _is_label(model, part)]:
            models = chosen
            continue
        elif outside := _of_other_package(part, models):
            models = [outside]
            continue
        elif str(part).startswith(("literal[", "tuple[", "[")):
            continue
        place.append(str(part))
    return tuple(place), tuple(models)


def _type_of(model: type[BaseModel], part: object) -> object:
    """The type of a model's field, or of what it takes beside its fields."""
    if part in model.model_fields:
        return model.model_fields[str(part)].annotation
    further = model.__annotations__.get("__pydantic_extra__")
    if further is None or not isinstance(part, str) or part.startswith("["):
        return None
    return get_type_hints(model, include_extras=True)["__pydantic_extra__"]


def _of_other_package(part: object, models: Sequence[type[BaseModel]]) -> type[BaseModel] | None:
    """The operator whose name stands where an operator of ours might."""
    if not isinstance(part, str) or not any(issubclass(model, Operator) for model in models):
        return None
    return find_class(part, ours=())


def models_in(annotation: object) -> list[type[BaseModel]]:
    """The settings models that a field of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in models_in(inner)]


def _is_label(model: type[BaseModel], part: object) -> bool:
    """Whether pydantic names this member of a union so: by its class, or by its tag in a discriminated one."""
    tags = [
        get_args(field.annotation) for field in model.model_fields.values() if get_origin(field.annotation) is Literal
    ]
    return part == model.__name__ or (part,) in tags


def _first_name(members: Sequence[type[BaseModel]]) -> str:
    """The name of a union's first member."""
    return str(get_args(members[0].model_fields["name"].annotation)[0])


def _told_apart(faults: Sequence[_Fault]) -> Iterator[_Fault]:
    """The faults that speak of the member of a union that was meant.

    A section in place of a literal is judged as a section; anything else hears of both.
    """
    for fault in faults:
        others = [other for other in faults if other.of_literal != fault.of_literal and _is_within(other, fault)]
        is_section = isinstance(fault.value, Mapping)
        if fault.of_literal and is_section and others:
            continue
        if fault.kind in _EMPTY and any(other is not fault and _is_within(other, fault) for other in faults):
            continue
        if fault.kind in _SECTION and any(other.of_literal and other.place == fault.place for other in faults):
            continue
        yield fault


def _is_within(inner: _Fault, outer: _Fault) -> bool:
    return inner.place[: len(outer.place)] == outer.place


def _nearest(name: str, known: Iterable[str], what: str) -> str:
    names = sorted(known)
    name = name[:_MAX_SHOWN]  # a search for likeness takes the square of the length
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"did you mean {near[0]}?" if near else f"known {what} are {', '.join(names)}"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a section"
    if value is None:
        return "null"
    if isinstance(value, str) and len(value) > _MAX_SHOWN:
        return f"{value[:_MAX_SHOWN]!r}..."
    return _cut(repr(value), _MAX_SHOWN)


def _cut(text: str, limit: int = _MAX_PHRASE) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."
