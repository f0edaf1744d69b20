"""The sampler `random`: rows drawn uniformly, by a hash of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from autodp_ray.records.row_groups import GroupOrder, ordered_groups
from autodp_ray.samplers.base import SALT, Bucket, Sampler
from autodp_ray.samplers.embedding_matrix import Int64


class RandomSampler(Sampler):
    """Rows drawn uniformly; needs no embeddings."""

    needs_embeddings: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()

    name: Literal["random"] = "random"

    def draw(self, bucket: Bucket) -> Int64:
        groups = ordered_groups(bucket.ids, bucket.groups[bucket.rows], seed=bucket.seed, salt=SALT, rows=bucket.rows)
        return _first_rows(groups, rate=bucket.rate)


def sample_random(ids: Sequence[str] | pa.Array, groups: np.ndarray, *, rate: float, seed: int = 0) -> np.ndarray:
    """Row indices of a uniform sample of whole groups, ascending, int64 [n]; the same rows for any order of the rows.

    n is within half of the last group drawn of rate * N, and never 0 while there are rows; where each row is a group
    of its own, n is rate * N, rounded, at least 1. `groups` is int64 [N].
    """
    return _first_rows(ordered_groups(ids, groups, seed=seed, salt=SALT), rate=rate)


def _first_rows(groups: GroupOrder, *, rate: float) -> Int64:
    filled = np.append(0, np.cumsum(groups.sizes))
    return groups.rows_of_first(max(1, int(np.argmin(np.abs(filled - rate * len(groups.members))))))
