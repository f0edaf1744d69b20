"""Distribution-preserving samples for the search: which rows to take, by one of four methods.

Clean and noisy rows are sampled apart, so that the sample has as many noisy rows as the whole. Knows nothing of how
rows were grouped (row_groups.py), screened or embedded. The methods stand in modules of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.records.row_groups import ordered_groups
from autodp_ray.sampling.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.sampling.herding import sample_by_herding
from autodp_ray.sampling.paper import sample_by_equation_4
from autodp_ray.sampling.quotas import largest_remainder, sample_size
from autodp_ray.sampling.stratified import sample_stratified
from autodp_ray.sampling.units import Units
from operators.rows.record import row_hashes

_SALT = "sampling/random"


def draw_sample(
    ids: Sequence[str],
    groups: np.ndarray,
    config: SamplingConfig,
    *,
    embeddings: EmbeddingMatrix | None = None,
    strata: np.ndarray | None = None,
) -> np.ndarray:
    """Row indices of a sample, ascending, int64 [n], by the config's method; the same rows for any order of the rows.

    `groups` are int64 [N]. `strata` [N] holds a label per row, such as the screener's verdict: each label is sampled
    apart, with its share of the rows. A group that is drawn whole counts under its largest label, as noisy if any of
    its rows is. Rows of `embeddings` are in the order of `ids`; `random` needs none.
    """
    if not config.whole_groups:
        groups = np.arange(len(ids))
    labels = np.zeros(len(ids), dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    if config.whole_groups:
        labels = _largest_of_group(labels, groups)
    buckets = [np.flatnonzero(labels == label) for label in range(int(labels.max(initial=-1)) + 1)]
    sizes = np.array([len(rows) for rows in buckets], dtype=np.int64)
    quotas = largest_remainder(sizes, sample_size(len(ids), config.rate))
    drawn = [
        _Bucket(ids=ids, groups=groups, config=config, rows=rows, quota=quota).draw(embeddings)
        for rows, quota in zip(buckets, quotas.tolist(), strict=True)
    ]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *drawn]))


def _largest_of_group(labels: Int64, groups: Int64) -> Int64:
    """The largest label in each row's group [N]."""
    _, group = np.unique(groups, return_inverse=True)
    largest = np.zeros(len(labels), dtype=np.int64)
    np.maximum.at(largest, group, labels)
    found: Int64 = largest[group]
    return found


def sample_random(ids: Sequence[str], groups: np.ndarray, config: SamplingConfig) -> np.ndarray:
    """Row indices of a uniform sample, ascending, int64 [n]; the same rows for any order of the rows.

    With whole groups n is within half of the last group drawn of rate * N, and never 0 while there are rows; without
    them n is rate * N, rounded, at least 1. `groups` is int64 [N].
    """
    if not config.whole_groups:
        groups = np.arange(len(ids))
    members = ordered_groups(ids, groups, seed=config.seed, salt=_SALT)
    filled = np.cumsum([len(rows) for rows in members])
    target = config.rate * len(ids)
    chosen = members[: max(1, int(np.argmin(np.abs(np.concatenate([[0], filled]) - target))))]
    return np.sort(np.concatenate(chosen)).astype(np.int64) if chosen else np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket:
    """The rows of one label, ascending, and how many of them are drawn."""

    ids: Sequence[str]
    groups: np.ndarray
    config: SamplingConfig
    rows: Int64
    quota: int

    def draw(self, embeddings: EmbeddingMatrix | None) -> Int64:
        config = self.config
        if config.method == "random":
            drawn = sample_random([self.ids[row] for row in self.rows], self.groups[self.rows], config)
            chosen: Int64 = self.rows[drawn]
            return chosen
        if embeddings is None or embeddings.num_rows != len(self.ids):
            raise ValueError(f"sampling by {config.method!r} needs an embedding for each of the {len(self.ids)} rows")
        if config.method == "paper":
            eligible = np.zeros(len(self.ids), dtype=bool)
            eligible[self.rows] = True
            groups = self.groups if config.whole_groups else None
            return sample_by_equation_4(embeddings, self.quota, eligible=eligible, groups=groups).rows
        large, units, quota = self._without_large_groups()
        if config.method == "herding":
            return np.concatenate([large, sample_by_herding(embeddings, units, quota)])
        return np.concatenate([large, sample_stratified(embeddings, units, quota, seed=config.seed)])

    def _without_large_groups(self) -> tuple[Int64, Units, int]:
        """Rows drawn from groups that are too large to be all or nothing, the other units, and their quota.

        A group whose share of the sample is two rows or more gives that share: those rows are near-duplicates of one
        another still, and the mix stays as it is. Drawn whole, one such group could fill the sample.
        """
        rows = self.rows[self._order()]
        units = Units.of_groups(rows, self.groups[rows])
        is_large = units.sizes * self.config.rate >= 2 if self.config.whole_groups else np.zeros(len(units), dtype=bool)
        large, small = units.take(np.flatnonzero(is_large)), units.take(np.flatnonzero(~is_large))
        quotas = largest_remainder(np.append(large.sizes, small.num_rows), self.quota)
        parts = [
            large.members[start : start + quota]
            for start, quota in zip(large.starts[:-1].tolist(), quotas[:-1].tolist(), strict=True)
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts]), small, int(quotas[-1])

    def _order(self) -> Int64:
        """The bucket's rows by a hash of their ids: what is cut or tied is so at random, and for good."""
        ids = [self.ids[row] for row in self.rows]
        hashes = row_hashes(ids, seed=self.config.seed, salt=_SALT).tolist()
        return np.array(sorted(range(len(ids)), key=lambda at: (hashes[at], ids[at])), dtype=np.int64)
