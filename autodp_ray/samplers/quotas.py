"""How many rows each part of a dataset gives to a sample: quotas by largest remainder. Integers only, so exact."""

from __future__ import annotations

import numpy as np

from autodp_ray.samplers.embedding_matrix import Int64


def sample_size(num_rows: int, rate: float) -> int:
    """Rows of a sample: the rate, rounded; at least one of any rows."""
    return min(num_rows, max(1, round(rate * num_rows))) if num_rows else 0


def largest_remainder(sizes: Int64, total: int) -> Int64:
    """Quotas [K] that add up to `total` in proportion to the sizes; of equal remainders, the first parts win.

    No quota is more than one away from its exact share, nor above its size.
    """
    whole = int(sizes.sum())
    if whole == 0:
        return np.zeros(len(sizes), dtype=np.int64)
    total = min(total, whole)
    quotas, remainders = np.divmod(sizes.astype(np.int64) * total, whole)
    quotas[np.argsort(-remainders, kind="stable")[: total - int(quotas.sum())]] += 1
    return quotas


def quotas_without_loss(sizes: Int64, total: int) -> Int64:
    """The same, but no part that has rows goes without, where there are seats for all of them.

    The seats come from the parts that are most above their share, or least below it, and have more than one.
    """
    quotas = largest_remainder(sizes, total)
    if total < int((sizes > 0).sum()):
        return quotas
    shares = sizes * (total / max(1, int(sizes.sum())))
    for part in np.flatnonzero((sizes > 0) & (quotas == 0)):
        giver = int(np.argmax(np.where(quotas > 1, quotas - shares, -np.inf)))
        quotas[giver] -= 1
        quotas[part] = 1
    return quotas
