"""The sample that a search works on: screens and embeds the train rows where the config asks for it, and draws.

In this process, without any Ray: preparation comes before a run connects to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.embedder import EmbeddingUsage, SentenceEmbedder
from actors.embedding_pass import row_texts
from actors.model_source import cache_folder
from actors.storage import Storage
from autodp_ray.config import Config
from autodp_ray.embedding_matrix import Bool, EmbeddingMatrix
from autodp_ray.row_groups import row_groups
from autodp_ray.sampling import draw_sample
from operators.base import Screener
from operators.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSample:
    """The sampled rows, and what it took to choose them."""

    table: pa.Table
    num_noisy: int | None
    """Sampled rows that need work; None without a screener."""
    embeddings: EmbeddingUsage


def draw_search_sample(
    train: pa.Table, config: Config, *, cache: Storage | None, screener: Screener | None
) -> SearchSample:
    """A sample of the train rows by the config's method, clean and noisy ones apart where there is a screener.

    Raises: InputError where it has no rows or a model cannot be had; EndpointError where the screener fails.
    """
    groups = row_groups(train, threshold=config.splits.near_duplicate_threshold)
    noisy: Bool | None = None if screener is None else screener.needs_work(train)
    embeddings, usage = None, EmbeddingUsage()
    if config.sampling.method != "random":
        embedder = open_embedder(config.sampling.embedder, cache)
        embeddings, usage = EmbeddingMatrix.of_array(embedder.embed_matrix(row_texts(train))), embedder.usage
    ids = train["id"].to_pylist()
    chosen = draw_sample(ids, groups, config.sampling, embeddings=embeddings, strata=noisy)
    if len(chosen) == 0:
        raise InputError("the sample is empty; raise sampling.rate or give more rows")
    num_noisy = None if noisy is None else int(np.count_nonzero(noisy[chosen]))
    return SearchSample(table=train.take(chosen), num_noisy=num_noisy, embeddings=usage)


def open_embedder(source: str, cache: Storage | None) -> SentenceEmbedder:
    """The embedder of a model source, with the cache's memory of what was embedded before; no cache, no memory.

    Raises: InputError where the model cannot be had.
    """
    if cache is None:
        return SentenceEmbedder.of(source)
    folder = Path(cache.location) if cache.is_local else cache_folder()
    return SentenceEmbedder.of(source, memo=folder / "embeddings.sqlite")
