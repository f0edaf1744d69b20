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
from autodp_ray.records.row_groups import row_groups
from autodp_ray.samplers.embedding_matrix import Bool
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

    @classmethod
    def of(cls, config: Config, cache: Storage, *, connect: Callable[[], Cluster] | None = None) -> RowModels:
        """Those that the config names, which remember in the cache; `connect` as in `RowEmbedder`.

        Raises: InputError where there is no such screener.
        """
        return cls(
            embed=RowEmbedder(config=config, cache=cache, connect=connect),
            screener=in_process_screener(config.screener, cache),
        )


def draw_search_sample(
    train: pa.Table, config: Config, models: RowModels, *, groups: np.ndarray | None = None
) -> SearchSample:
    """A sample of the train rows by the config's method, clean and noisy ones apart where there is a screener.

    `groups` are those of `row_groups`, where they are known.

    Raises: InputError where it has no rows or a model cannot be had; EndpointError where the screener fails.
    """
    if groups is None:
        groups = row_groups(
            train, threshold=config.splits.near_duplicate_threshold, content=config.dataset.content_columns
        )
    ids = train["id"].to_pylist()
    sampling = config.sampling
    candidates = draw_candidates(ids, groups, sampling)
    if candidates is not None:
        sampling = of_candidates(sampling, len(candidates), len(ids))
        train, groups, ids = take_rows(train, candidates), groups[candidates], [ids[row] for row in candidates]
    noisy: Bool | None = None if models.screener is None else models.screener.needs_work(train)
    embedded = models.embed(train) if sampling.method.needs_embeddings else None
    chosen = draw_sample(
        ids,
        groups,
        sampling,
        embeddings=None if embedded is None else embedded.matrix,
        strata=noisy,
    )
    if len(chosen) == 0:
        raise InputError("the sample is empty; raise sampling.rate or give more rows")
    num_noisy = None if noisy is None else int(np.count_nonzero(noisy[chosen]))
    return SearchSample(table=take_rows(train, chosen), num_noisy=num_noisy, embedded=embedded)
