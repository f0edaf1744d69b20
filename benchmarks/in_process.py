"""Recipes of operators in this process, without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pyarrow as pa

from operators.contract.operator import DatasetTransform, Operator, RowTransform, Scope
from operators.contract.resources import Resources


def apply_here(recipe: Sequence[Operator], table: pa.Table, resources: Resources) -> pa.Table:
    """The rows after all operators, in the recipe's order."""
    for operator in recipe:
        built = operator.build(resources)
        if operator.scope is Scope.DATASET:
            whole = cast(DatasetTransform, built)
            table = whole.apply(table, whole.decide([whole.sketch(table)]))
        else:
            table = cast(RowTransform, built)(table)
    return table
