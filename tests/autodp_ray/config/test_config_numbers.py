"""Every number of a config: no setting takes one that means nothing, whoever adds the next one."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from autodp_ray.config.run_config import Config, build_config
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import config_values

NEVER = (float("nan"), float("inf"), -float("inf"), -1, -0.5)


def models_in(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:  # noqa: ANN401
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel) and annotation not in seen:
            seen.add(annotation)
            yield annotation
            for field in annotation.model_fields.values():
                yield from models_in(field.annotation, seen)
        return
    for inner in get_args(annotation):
        yield from models_in(inner, seen)


def numbers_in(annotation: Any) -> bool:  # noqa: ANN401
    return annotation in (int, float) or any(numbers_in(inner) for inner in get_args(annotation))


def number_fields() -> list[tuple[type[BaseModel], str, FieldInfo]]:
    return [
        (model, name, field)
        for model in models_in(Config, set())
        for name, field in model.model_fields.items()
        if numbers_in(field.annotation)
    ]


FIELDS = number_fields()


def test_the_walk_finds_settings_of_every_layer() -> None:
    found = {f"{model.__name__}.{name}" for model, name, _ in FIELDS}
    assert {"PoolConfig.part_rows", "TrainingRecipe.learning_rate", "VllmLLM.num_cpus", "Deduplicate.seed"} <= found
    assert len(found) > 80


@pytest.mark.parametrize(("model", "name", "field"), FIELDS, ids=lambda value: getattr(value, "__name__", None))
def test_no_number_may_be_infinite_undefined_or_below_zero(model: type[BaseModel], name: str, field: FieldInfo) -> None:
    for value in NEVER:
        given = {"k": value} if "dict" in str(field.annotation).lower() or "Mapping" in str(field.annotation) else value
        with pytest.raises(ValidationError):
            model.__pydantic_validator__.validate_assignment(model.model_construct(), name, given)


@pytest.mark.parametrize(
    "override",
    [
        "pool.num_cpus_per_worker=-1",
        "pool.num_cpus_per_worker=.nan",
        "pool.part_rows=-5",
        "pool.part_rows=0",
        "training.learning_rate=.inf",
        "training.learning_rate=1e400",
        "models.agent.max_tokens=1180591620717411303424",
        "screener.num_cpus=inf",
        "seed=12345678901234567890123456",
        "seed=-1",
        "search.seed=4294967296",
        "dataset.limit=1e300",
        "dataset.corruption={rate: 0.5, kinds: {markup: .nan}}",
    ],
)
def test_a_senseless_number_is_bad_input_in_one_bounded_line(override: str) -> None:
    with pytest.raises(InputError) as caught:
        build_config(config_values("d"), [override])
    assert len(str(caught.value)) < 1000
