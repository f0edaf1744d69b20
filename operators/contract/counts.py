"""What an operator makes of a batch: the rows, and counts by reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformed:
    """The rows that a batch became, with what became of them counted by reason."""

    table: pa.Table
    counts: Mapping[str, int] = field(default_factory=dict)
    """Reasons of dropped rows start with `dropped:`, of rejected rewrites with `rejected:`; other prefixes are free.
    Zeros are left out."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", {reason: count for reason, count in sorted(self.counts.items()) if count})


def keep_rows(table: pa.Table, drops: Mapping[str, np.ndarray]) -> Transformed:
    """The rows that no mask in `drops` marks, counted as `dropped:<reason>` under the first reason that marks them."""
    gone = np.zeros(table.num_rows, dtype=bool)
    counts: dict[str, int] = {}
    for reason, mask in drops.items():
        marked = np.asarray(mask, dtype=bool) & ~gone
        counts[f"dropped:{reason}"] = int(marked.sum())
        gone |= marked
    return Transformed(table=table.filter(pa.array(~gone)), counts=counts)
