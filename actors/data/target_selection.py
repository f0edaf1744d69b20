"""Progressive target selection: a team works on the rows of its input that a screener says need it.

A verdict is taken once per row, on the team's input, and travels beside it in a column of its own through the stages of
the team; the last stage leaves it out. Rows that a stage adds have no verdict and are left alone by those after it: the
team has just made them, and no screener has seen them. Pure functions on tables; the passes over parts are elsewhere.

Source: LLM-AutoDP, section 3.3.3.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.contract.counts import Transformed
from operators.contract.errors import RunError
from operators.contract.operator import RowTransform
from operators.contract.resources import Screener

VERDICT = "_autodp_needs_work"
"""The column of the verdicts: true = needs work."""
SCREENED_REQUESTED = "screened:requested"
SCREENED_NEEDS_WORK = "screened:needs_work"


def with_verdicts(table: pa.Table, screener: Screener) -> Transformed:
    """The table with a verdict per row, and how many were asked for and need work in its counts.

    Raises: EndpointError where no verdict could be had; RunError where there is not one for each row.
    """
    verdicts = screener.needs_work(table)
    if verdicts.dtype != np.bool_ or verdicts.shape != (table.num_rows,):
        raise RunError(
            f"the screener gave {list(verdicts.shape)} verdicts of type {verdicts.dtype} on {table.num_rows} rows; "
            "it must give one bool for each"
        )
    counts = {SCREENED_REQUESTED: table.num_rows, SCREENED_NEEDS_WORK: int(verdicts.sum())}
    return Transformed(table=table.append_column(VERDICT, pa.array(verdicts)), counts=counts)


def without_verdicts(table: pa.Table) -> pa.Table:
    """The table without the column of the verdicts."""
    return table.drop_columns([VERDICT]) if VERDICT in table.column_names else table


def targets(table: pa.Table) -> pa.Table:
    """The rows that need work."""
    return table.filter(_needs_work(table))


def work_on_targets(table: pa.Table, work: RowTransform) -> Transformed:
    """The table with the rows that need work replaced by what `work` makes of them; all rows keep their order.

    The counts are those of `work`. It may drop rows and must not add any or change an id.
    """
    mask = _needs_work(table)
    chosen = table.filter(mask)
    if chosen.num_rows == 0:
        return Transformed(table=table)
    done = work(chosen)
    others = table.filter(pc.invert(mask))
    both = pa.concat_tables([others, done.table], promote_options="default")
    places = pc.index_in(both["id"], value_set=table["id"].combine_chunks()).to_numpy()
    return Transformed(table=both.take(np.argsort(places, kind="stable")), counts=done.counts)


def _needs_work(table: pa.Table) -> pa.Array:
    """Mask [N]; rows without a verdict need none."""
    if VERDICT not in table.column_names:
        return pa.repeat(False, table.num_rows)
    return pc.fill_null(table[VERDICT], False).combine_chunks()
