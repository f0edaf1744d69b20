"""Counts by reason, which every operator gives for each batch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

_COUNTS_KEY = b"autodp.counts"


def with_counts(table: pa.Table, counts: Mapping[str, int]) -> pa.Table:
    """The table with counts by reason (zeros left out) in its schema metadata, added to those already there."""
    total = Counter(counts_of(table))
    total.update({reason: count for reason, count in counts.items() if count})
    metadata = dict(table.schema.metadata or {})
    metadata.pop(_COUNTS_KEY, None)
    if total:
        metadata[_COUNTS_KEY] = json.dumps(dict(sorted(total.items()))).encode()
    return table.replace_schema_metadata(metadata or None)


def counts_of(table: pa.Table) -> dict[str, int]:
    """Counts by reason that `with_counts` left in the schema metadata.

    Reasons of dropped rows start with `dropped:`, of rejected rewrites with `rejected:`; other prefixes are free.
    """
    raw = (table.schema.metadata or {}).get(_COUNTS_KEY)
    return {} if raw is None else dict(json.loads(raw))


def keep_rows(table: pa.Table, drops: Mapping[str, np.ndarray]) -> pa.Table:
    """The rows that no mask in `drops` marks, counted as `dropped:<reason>` under the first reason that marks them."""
    gone = np.zeros(table.num_rows, dtype=bool)
    counts: dict[str, int] = {}
    for reason, mask in drops.items():
        marked = np.asarray(mask, dtype=bool) & ~gone
        counts[f"dropped:{reason}"] = int(marked.sum())
        gone |= marked
    return with_counts(table.filter(pa.array(~gone)), counts)
