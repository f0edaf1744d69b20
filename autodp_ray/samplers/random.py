"""The sampler `random`: rows drawn uniformly, by a hash of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from autodp_ray.records.row_groups import ordered_groups
from autodp_ray.samplers.base import SALT, Bucket, Sampler
from autodp_ray.samplers.embedding_matrix import Int64


class RandomSampler(Sampler):
    """Rows drawn uniformly; needs no embeddings."""

    needs_embeddings: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()

    name: Literal["random"] = "random"

    def draw(self, bucket: Bucket) -> Int64:
        ids, groups = bucket.ids.take(pa.array(bucket.rows)), bucket.groups[bucket.rows]
        drawn: Int64 = bucket.rows[sample_random(ids, groups, rate=bucket.rate, seed=bucket.seed)]
        return drawn


def sample_random(ids: Sequence[str] | pa.Array, groups: np.ndarray, *, rate: float, seed: int = 0) -> np.ndarray:
    """Row indices of a uniform sample of whole groups, ascending, int64 [n]; the same rows for any order of the rows.

    n is within half of the last group drawn of rate * N, and never 0 while there are rows; where each row is a group
    of its own, n is rate * N, rounded, at least 1. `groups` is int64 [N].
    """
    members = ordered_groups(ids, groups, seed=seed, salt=SALT)
    filled = np.cumsum([len(rows) for rows in members])
    target = rate * len(ids)
    chosen = members[: max(1, int(np.argmin(np.abs(np.concatenate([[0], filled]) - target))))]
    return np.sort(np.concatenate(chosen)).astype(np.int64) if chosen else np.empty(0, dtype=np.int64)
