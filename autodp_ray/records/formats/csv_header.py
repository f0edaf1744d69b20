"""Whether the first row of a CSV file surely holds names, which a message may repeat, or may be a row of data."""

from __future__ import annotations

import re

import pyarrow as pa

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}|[\u3400-\u9fff]{1,6}")
_SAMPLE_ROWS = 100


def surely_names(head: pa.Table) -> bool:
    """Whether the column names look like names, and the cells of each column do not: single short words could be
    either. Without a row there is nothing to tell them from."""
    if head.num_rows == 0 or not all(map(_NAME.fullmatch, head.column_names)):
        return False
    columns = (head[name].slice(0, _SAMPLE_ROWS).drop_null().to_pylist() for name in head.column_names)
    return all(not cells or any(_NAME.fullmatch(cell) is None for cell in cells) for cells in columns)
