"""All operators: the one discriminated union, and the default recipes.

Adding an operator is its own file and one word here. Those of other packages need none (outside.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapSerializer,
    WrapValidator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from operators.contract.code_version import is_ours
from operators.contract.family import AlsoWritten
from operators.contract.operator import Operator
from operators.deduplicate import Deduplicate
from operators.generate_missing import GenerateAnswer, GenerateQuestion
from operators.generate_pair import GeneratePair
from operators.ngram_repetition import NgramRepetition
from operators.optimize import OptimizeAnswer, OptimizePair, OptimizeQuestion
from operators.outside import find_class, own_name, reference_of
from operators.select_by_gradient import SelectByGradient
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup
from operators.token_count import TokenCount

OwnOperator = Annotated[
    StripMarkup
    | SpecialCharRatio
    | TokenCount
    | NgramRepetition
    | Deduplicate
    | OptimizePair
    | OptimizeQuestion
    | OptimizeAnswer
    | GenerateQuestion
    | GenerateAnswer
    | GeneratePair
    | SelectByGradient,
    Field(discriminator="name"),
]
"""The spec of an operator of this package, told apart by `name`."""

OWN_CLASSES: tuple[type[Operator], ...] = get_args(get_args(OwnOperator)[0])
OWN_NAMES = frozenset(own_name(cls) for cls in OWN_CLASSES)


def _validated(value: object, own: ValidatorFunctionWrapHandler) -> Operator:
    """A spec of ours, or of the class of another package that the name leads to."""
    if isinstance(value, Operator) and not is_ours(type(value)):
        return value
    name = value.get("name") if isinstance(value, Mapping) else None
    cls = find_class(name, ours=OWN_NAMES) if isinstance(name, str) else None
    if cls is None:
        spec: Operator = own(value)
        return spec
    assert isinstance(value, Mapping)
    try:
        return cls.model_validate({**value, "name": own_name(cls)})
    except ValidationError as error:
        raise ValidationError.from_exception_data(error.title, _labelled(error, str(name))) from None


def _labelled(error: ValidationError, name: str) -> list[InitErrorDetails]:
    """The faults under the operator's name, as pydantic gives those of a member of a union."""
    known = get_args(ErrorType)
    return [
        InitErrorDetails(
            type=fault["type"] if fault["type"] in known else PydanticCustomError("value_error", fault["msg"]),
            loc=(name, *fault["loc"]),
            input=fault["input"],
            ctx=fault.get("ctx", {}),
        )
        for fault in error.errors(include_url=False)
    ]


def _plain(spec: Operator, own: SerializerFunctionWrapHandler, info: SerializationInfo) -> object:
    """Plain values from which the same spec is made again, in whichever process."""
    if is_ours(type(spec)):
        return own(spec)
    values = spec.model_dump(mode=info.mode, exclude_defaults=bool(info.exclude_defaults))
    return {**values, "name": reference_of(spec)}


def _from_outside(own: JsonSchemaValue) -> JsonSchemaValue:
    """What a JSON schema says of an operator of another package: any name but ours, and settings that it knows."""
    name = {"type": "string", "not": {"enum": [*own["discriminator"]["mapping"]]}}
    return {"type": "object", "properties": {"name": name}, "required": ["name"]}


AnyOperator = Annotated[OwnOperator, WrapValidator(_validated), WrapSerializer(_plain), AlsoWritten(_from_outside)]
"""The spec of any operator, ours by name, those of other packages by entry point or as `module:Class`."""

CLEANING_RECIPE: tuple[AnyOperator, ...] = (
    StripMarkup(),
    SpecialCharRatio(),
    TokenCount(),
    NgramRepetition(),
    Deduplicate(),
)
"""What the cleaning team runs unless the config says otherwise."""

OPTIMIZATION_RECIPE: tuple[AnyOperator, ...] = (OptimizePair(),)
"""What the optimization team runs unless the config says otherwise; the other two rewriters are alternatives."""

GENERATION_RECIPE: tuple[AnyOperator, ...] = (GenerateQuestion(), GenerateAnswer(), GeneratePair())
"""What the generation team runs unless the config says otherwise."""

SELECTION_RECIPE: tuple[AnyOperator, ...] = (SelectByGradient(),)
"""What the selection team runs unless the config says otherwise."""
