"""Operators of other packages: offered as entry points, or named as `module:Class`.

Knows how their classes are found and what they must declare. A package is imported only when a recipe names an operator
of it; a listing shows names alone.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Container
from dataclasses import dataclass
from operator import attrgetter

from operators.contract.code_version import code_version, is_ours
from operators.contract.errors import InputError
from operators.contract.operator import DatasetOperator, Operator, PartitionedOperator, RowOperator

GROUP = "autodp_ray.operators"
"""The group of the entry points; each is named like the operator and leads to its class."""
_DECLARED = ("version", "needs", "scope", "reads", "writes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An operator that an installed package offers."""

    name: str
    reference: str
    """`module:Class`."""
    distribution: str
    """Name and version of the package."""


def offers() -> tuple[Offer, ...]:
    """What the installed packages offer, by name; imports none of them."""
    found = [
        Offer(
            name=entry.name,
            reference=entry.value,
            distribution="an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}",
        )
        for entry in importlib.metadata.entry_points(group=GROUP)
    ]
    return tuple(sorted(dict.fromkeys(found), key=attrgetter("name", "reference")))


def find_class(name: str, *, ours: Container[str]) -> type[Operator] | None:
    """The class that a recipe names; None where no other package has one, so that it is ours or unknown.

    Raises: ValueError for one that collides with ours or with another, cannot be imported or is no operator.
    """
    offered = [] if ":" in name else [offer for offer in offers() if offer.name == name]
    if ":" not in name and not offered:
        return None
    sources = ", ".join(offer.distribution for offer in offered)
    if name in ours:
        raise ValueError(
            f"{name} is an operator of autodp-ray, and {sources} offers another of that name: uninstall it, or have "
            "its author rename it"
        )
    if len(offered) > 1:
        raise ValueError(f"{name} is offered by {sources}: name the class that is meant, as {offered[0].reference}")
    cls = load_class(offered[0].reference if offered else name)
    if own_name(cls) in ours:
        raise ValueError(f"{name} calls itself {own_name(cls)}, which is an operator of autodp-ray: rename it")
    if offered and own_name(cls) != name:
        raise ValueError(f"the entry point {name} leads to an operator that calls itself {own_name(cls)}: rename one")
    return cls


def load_class(reference: str) -> type[Operator]:
    """The class at `module:Class`. Raises: ValueError where it cannot be imported or is no operator."""
    module, _, attribute = reference.partition(":")
    try:
        found = attrgetter(attribute)(importlib.import_module(module))
    except Exception as error:  # whatever a foreign module raises while it is imported
        said = " ".join(str(error).split())[:150]
        raise ValueError(
            f"operator {reference} cannot be imported ({type(error).__name__}: {said}); install its package, or put "
            "the folder that holds it on PYTHONPATH or into the job's --working-dir"
        ) from error
    if not (isinstance(found, type) and issubclass(found, RowOperator | DatasetOperator | PartitionedOperator)):
        kinds = "RowOperator, DatasetOperator or PartitionedOperator"
        raise ValueError(f"{reference} is no subclass of {kinds} (operators.contract.operator)")
    if missing := [name for name in _DECLARED if not hasattr(found, name)]:
        raise ValueError(f"operator {reference} does not declare {', '.join(missing)}")
    if not own_name(found):
        raise ValueError(f"operator {reference} has no default for its field name: give it a name")
    return found


def own_name(cls: type[Operator]) -> str:
    """What the operator calls itself, empty where it has no name of its own."""
    default = cls.model_fields["name"].default
    return default if isinstance(default, str) else ""


def reference_of(operator: Operator) -> str:
    """What a recipe calls this operator so that it is found again anywhere: ours by name, others as `module:Class`."""
    cls = type(operator)
    return operator.name if is_ours(cls) else f"{cls.__module__}:{cls.__qualname__}"


def operator_version(reference: str) -> str:
    """What identifies the code of an operator of another package that this process finds.

    Raises: InputError where it cannot be imported.
    """
    try:
        return code_version(load_class(reference))
    except ValueError as error:
        raise InputError(str(error)) from None
