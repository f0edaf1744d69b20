"""Recipes of operators in this process, without Ray."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from operators.contract.in_process import apply_to_parts
from operators.contract.operator import DatasetOperator, Operator, PartitionedOperator, RowOperator
from operators.contract.resources import Resources


def apply_here(recipe: Sequence[Operator], table: pa.Table, resources: Resources) -> pa.Table:
    """The rows after all operators, in the recipe's order."""
    for operator in recipe:
        if isinstance(operator, DatasetOperator):
            whole = operator.build(resources)
            table = whole.apply(table, whole.decide([whole.sketch(table)])).table
        elif isinstance(operator, PartitionedOperator):
            table = apply_to_parts(operator.build(resources), [table])[0].table
        elif isinstance(operator, RowOperator):
            table = operator.build(resources)(table).table
    return table
