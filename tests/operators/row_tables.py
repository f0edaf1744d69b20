"""Tables of rows for tests of what makes two rows copies."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from operators.contract.counts import Transformed
from operators.contract.operator import Operator
from operators.likeness.row_likeness import group_rows
from operators.likeness.row_sketches import sketch_rows
from operators.rows.record import RECORD_SCHEMA, TURN_WITH_KEYS

Turn = Mapping[str, str | None]
Pair = tuple[str | None, str | None]
"""Question and answer."""
Records = Callable[[Sequence[Pair]], pa.Table]
"""What the fixture `records` makes of them."""
RunOperator = Callable[[Operator, Sequence[pa.Table]], list[Transformed]]
"""Runs a spec over the batches of one dataset."""
_SYLLABLES = ["ba", "ko", "li", "mu", "ne", "pra", "sto", "ta", "vi", "zo", "dre", "fi", "gu", "ha", "jo"]


def table_of(rows: Sequence[Mapping[str, object]], *, extra: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Rows of given fields; what is missing is empty, ids follow the row number."""
    schema = RECORD_SCHEMA.set(1, pa.field("history", pa.list_(TURN_WITH_KEYS)))
    for name, kind in (extra or {}).items():
        schema = schema.append(pa.field(name, kind))
    whole = [{"id": f"r{at:05d}", "history": [], "origin": "source", **row} for at, row in enumerate(rows)]
    return pa.Table.from_pylist(whole, schema=schema)


def pairs(*pairs: tuple[str | None, str | None]) -> pa.Table:
    return table_of([{"question": question, "answer": answer} for question, answer in pairs])


def num_groups(table: pa.Table, *, content: str | tuple[str, ...] = "auto", threshold: float = 0.8) -> int:
    """How many different rows a table has."""
    return len(np.unique(group_rows(sketch_rows(table, content=content), threshold)))  # type: ignore[arg-type]


def words(rng: random.Random, count: int) -> list[str]:
    """Made-up lower-case words."""
    return ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4))) for _ in range(count)]


def sentence(rng: random.Random, count: int) -> str:
    return " ".join(words(rng, count)).capitalize() + "."


def characters(rng: random.Random, count: int) -> str:
    """Common Chinese characters at random."""
    return "".join(chr(rng.randrange(0x4E00, 0x5E00)) for _ in range(count))
