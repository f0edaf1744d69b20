"""The sample that a search works on: screens and embeds the train rows where the config asks for it, and draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actors.storage.storage import Storage
from autodp_ray.cluster.opened_screener import in_process_screener
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import Config
from autodp_ray.samplers.embedding_matrix import Bool, Int64
from autodp_ray.sampling.row_embedding import EmbeddedTable, EmbedFn, RowEmbedder
from autodp_ray.sampling.sampler import draw_candidates, draw_sample, of_candidates
from operators.contract.errors import InputError
from operators.contract.resources import Screener
from operators.rows.record import take_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSample:
    """The sampled rows, and what it took to choose them."""

    table: pa.Table
    num_noisy: int | None
    """Sampled rows that need work; None without a screener."""
    embedded: EmbeddedTable | None
    """None where the method needs no embeddings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowModels:
    """What preparation embeds and screens rows with."""

    embed: EmbedFn
    screener: Screener | None = None
    connect: Callable[[], Cluster] | None = None
    """The Ray for many rows; None does everything here."""

    @classmethod
    def of(cls, config: Config, cache: Storage, *, connect: Callable[[], Cluster] | None = None) -> RowModels:
        """Those that the config names, which remember in the cache; `connect` as in `RowEmbedder`.

        Raises: InputError where there is no such screener.
        """
        return cls(
            embed=RowEmbedder(config=config, cache=cache, connect=connect),
            screener=in_process_screener(config.screener, cache),
            connect=connect,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRows:
    """The N rows that a sample is drawn from; only those that are taken are read."""

    ids: pa.Array
    groups: Int64
    """Label of each row's group of near-duplicates [N]."""
    take: Callable[[Int64], pa.Table]
    """The rows at ascending places."""


def draw_search_sample(train: TrainRows, config: Config, models: RowModels) -> SearchSample:
    """A sample of the train rows by the config's method, clean and noisy ones apart where there is a screener.

    Raises: InputError where it has no rows or a model cannot be had; EndpointError where the screener fails.
    """
    sampling = config.sampling
    if not sampling.method.needs_embeddings and models.screener is None:
        chosen = _not_empty(draw_sample(train.ids, train.groups, sampling))
        return SearchSample(table=train.take(chosen), num_noisy=None, embedded=None)
    ids, groups, places = train.ids, train.groups, draw_candidates(train.ids, train.groups, sampling)
    if places is None:
        places = np.arange(len(ids))
    else:
        sampling = of_candidates(sampling, len(places), len(ids))
        ids, groups = ids.take(pa.array(places)), groups[places]
    candidates = train.take(places)
    noisy: Bool | None = None if models.screener is None else models.screener.needs_work(candidates)
    embedded = models.embed(candidates) if sampling.method.needs_embeddings else None
    matrix = None if embedded is None else embedded.matrix
    chosen = _not_empty(draw_sample(ids, groups, sampling, embeddings=matrix, strata=noisy))
    num_noisy = None if noisy is None else int(np.count_nonzero(noisy[chosen]))
    return SearchSample(table=take_rows(candidates, chosen), num_noisy=num_noisy, embedded=embedded)


def _not_empty(chosen: Int64) -> Int64:
    if len(chosen) == 0:
        raise InputError("the sample is empty; raise sampling.rate or give more rows")
    return chosen
