"""What every sampler says of itself, and what it draws from.

Clean and noisy rows are sampled apart, so a sampler draws from one bucket of rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from autodp_ray.records.row_groups import hash_order_of
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.samplers.quotas import largest_remainder
from autodp_ray.samplers.units import Units
from operators.contract.family import Member

SALT = "sampling/random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The rows of one label, and how many of them are drawn."""

    ids: pa.Array
    """Texts, of all N rows of the dataset, not of this bucket alone."""
    groups: np.ndarray
    """Label of each row's group of near-duplicates [N]; where groups may be cut, each row is one of its own."""
    rows: Int64
    """The bucket's rows, ascending."""
    quota: int
    rate: float
    seed: int
    whole_groups: bool
    embeddings: EmbeddingMatrix | None

    @property
    def matrix(self) -> EmbeddingMatrix:
        """The embeddings of all N rows, for a sampler that says `needs_embeddings`."""
        if self.embeddings is None or self.embeddings.num_rows != len(self.ids):
            raise ValueError(f"this method of sampling needs an embedding for each of the {len(self.ids)} rows")
        return self.embeddings

    def without_large_groups(self) -> tuple[Int64, Units, int]:
        """Rows drawn from groups that are too large to be all or nothing, the other units, and their quota.

        A group whose share of the sample is two rows or more gives that share: those rows are near-duplicates of one
        another still, and the mix stays as it is. Drawn whole, one such group could fill the sample.
        """
        rows = self.ordered_rows
        units = Units.of_groups(rows, self.groups[rows])
        is_large = units.sizes * self.rate >= 2 if self.whole_groups else np.zeros(len(units), dtype=bool)
        large, small = units.take(np.flatnonzero(is_large)), units.take(np.flatnonzero(~is_large))
        quotas = largest_remainder(np.append(large.sizes, small.num_rows), self.quota)
        parts = [
            large.members[start : start + quota]
            for start, quota in zip(large.starts[:-1].tolist(), quotas[:-1].tolist(), strict=True)
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts]), small, int(quotas[-1])

    @property
    def ordered_rows(self) -> Int64:
        """The bucket's rows by a hash of their ids: what is cut or tied is so at random, and for good."""
        return self.rows[hash_order_of(self.ids, self.rows, seed=self.seed, salt=SALT)]


class Sampler(Member):
    """A frozen spec of how rows are drawn. A member is a subclass in a file of its own, named in registry.py."""

    needs_embeddings: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("sentence_transformers",)
    """Modules beyond a run's own that the driver must have."""

    def draw(self, bucket: Bucket) -> Int64:
        """Row indices [n], near the bucket's quota of them; the same rows for any order of the rows."""
        raise TypeError(f"{type(self).__name__} does not say how it draws")
