"""The reference of all config fields, made of the config's classes and the sentences beneath their fields.

Knows how the classes are written down, not what a field means. `autodp config` prints it, CONFIG.md keeps it.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue, TypeAdapter
from pydantic.fields import FieldInfo

from autodp_ray.config.errors import models_in
from autodp_ray.config.run_config import Config
from operators.contract.family import Member
from operators.contract.operator import Operator, Seed
from operators.outside import Offer, find_class, offers, own_name
from operators.registry import OWN_NAMES

_HEAD = """\
# Config fields

Every field of a run's YAML, by section. `--set SECTION.FIELD=VALUE` overrides one on the command line; `seed` at the
top of the file is the seed of every section that names none. Printed by `autodp config`.
"""
_COLUMNS = "| field | type | default | meaning |\n|---|---|---|---|"
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
_TAGGED = ", "
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

Model = type[BaseModel]


class FieldEntry(NamedTuple):
    """One field; `meaning` is empty where neither the field nor the class that it holds has a sentence."""

    name: str
    type: str
    default: str
    meaning: str


class SectionEntry(NamedTuple):
    """The fields of one class, under the first place of the YAML where it occurs."""

    title: str
    text: str
    fields: list[FieldEntry]


def reference() -> list[SectionEntry]:
    """All sections of a config: those of the top level first, then what they hold."""
    return sections_of(Config)


def sections_of(root: Model) -> list[SectionEntry]:
    """A section for a model and for each model that its fields hold."""
    titles = _titles(root=root)
    return [
        SectionEntry(title, inspect.getdoc(model) or "", [*_entries(model, titles)]) for model, title in titles.items()
    ]


def outside_reference() -> list[SectionEntry]:
    """A section for each operator that another installed package offers, which is imported for it."""
    return [_outside_section(offer) for offer in offers()]


def _outside_section(offer: Offer) -> SectionEntry:
    title = f"Operator {offer.name} of {offer.distribution}"
    try:
        model = find_class(offer.name, ours=OWN_NAMES)
    except ValueError as error:
        return SectionEntry(title, f"It cannot be used: {error}.", [])
    assert model is not None
    titles = _titles([model])
    return SectionEntry(title, inspect.getdoc(model) or "", [*_entries(model, titles)])


def reference_text() -> str:
    """The reference of a config as Markdown."""
    return markdown_of(_HEAD, [*reference(), *outside_reference()])


def markdown_of(head: str, sections: Sequence[SectionEntry]) -> str:
    """Sections as Markdown, a table each."""
    parts = [head]
    for section in sections:
        rows = [f"| `{one.name}` | {one.type} | {one.default} | {one.meaning} |" for one in section.fields]
        table = ["\n".join([_COLUMNS, *rows])] if rows else []
        parts.append("\n\n".join([f"## {section.title}", section.text, *table]) + "\n")
    return "\n".join(parts)


_TOP_SEED = "The random seed of every section that names none."


def schema_text() -> str:
    """The JSON schema of a config file, by which an editor completes and checks it, and says what a field means."""
    schema = Config.model_json_schema()
    schema["properties"]["seed"] = {**TypeAdapter(Seed).json_schema(), "description": _TOP_SEED}
    sections = {Config.__name__: schema, **schema["$defs"]}
    for model in _titles():
        properties = sections.get(model.__name__, {}).get("properties", {})
        for name, text in _sentences(model).items():
            if name in properties:
                properties[name]["description"] = " ".join(text.split())
    return json.dumps(schema, indent=2, ensure_ascii=False)


def _titles(further: Sequence[Model] = (), *, root: Model = Config) -> dict[Model, str]:
    titles: dict[Model, str] = {root: "Sections"}
    queue: list[Model] = [root, *further]
    titles |= {model: f"Operator {own_name(model)}" for model in further if issubclass(model, Operator)}
    for model in queue:  # which grows meanwhile
        prefix = "" if model is root or issubclass(model, Operator) else f"{titles[model].partition(_TAGGED)[0]}."
        for name, field in model.model_fields.items():
            for child in models_in(field.annotation):
                if child not in titles:
                    queue.append(child)
                    titles[child] = _title(child, f"{prefix}{name}")
    return titles


def _title(model: Model, place: str) -> str:
    """What a section is called: an operator by its name, a member of another family by its place and its word."""
    if issubclass(model, Operator):
        return f"Operator {model.model_fields['name'].default}"
    if issubclass(model, Member):
        return f"{place} {model.model_fields['name'].default}"
    tags = [
        f"{name} {field.default}"
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is Literal and get_args(field.annotation) == (field.default,)
    ]
    return f"{place}{_TAGGED}{tags[0]}" if tags else place


def _entries(model: Model, titles: Mapping[Model, str]) -> Iterator[FieldEntry]:
    sentences = _sentences(model)
    for name, field in model.model_fields.items():
        if name == "name" and issubclass(model, Operator | Member):
            continue  # the title says it
        inner = [inspect.getdoc(child) or "" for child in models_in(field.annotation)]
        meaning = sentences.get(name) or (re.split(r"(?<=\.)\s", inner[0])[0] if len(inner) == 1 else "")
        yield FieldEntry(
            name=name,
            type=", ".join([_type(field.annotation, titles), *_bounds(field)]),
            default="required" if field.is_required() else _value(field.get_default(call_default_factory=True)),
            meaning=" ".join(meaning.split()),
        )


def _sentences(model: Model) -> dict[str, str]:
    """What stands beneath each field in the source of a class and of those that it extends."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in zip(definition.body, definition.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = text
    return found


def _type(annotation: object, titles: Mapping[Model, str]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], titles)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(argument, titles) for argument in arguments))
    if origin is tuple:
        return f"list of {_type(arguments[0], titles)}"
    if origin is not None:
        return f"map of {_type(arguments[0], titles)} to {_type(arguments[1], titles)}"
    if annotation is JsonValue:
        return "value"
    assert isinstance(annotation, type)
    if issubclass(annotation, Operator):
        return "operator"
    if issubclass(annotation, Member):
        return f"`{annotation.model_fields['name'].default}`"
    if issubclass(annotation, BaseModel):
        return f"section `{titles[annotation].partition(_TAGGED)[0]}`"
    if issubclass(annotation, Enum):
        return " or ".join(f"`{value.value}`" for value in annotation)
    return _PLAIN[annotation]


def _bounds(field: FieldInfo) -> list[str]:
    return [
        f"{sign} {getattr(rule, name):.10g}"
        for rule in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]


def _value(default: object) -> str:
    """A default; of a class, what it changes of that class' own defaults."""
    if isinstance(default, tuple) and default and all(isinstance(item, Operator) for item in default):
        return ", ".join(item.name for item in default)
    if isinstance(default, Member):
        return f"`{json.dumps(default.name)}`"
    if isinstance(default, BaseModel):
        changed = default.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(changed, ensure_ascii=False)}`" if changed else ""
    return f"`{json.dumps(default, ensure_ascii=False)}`"
