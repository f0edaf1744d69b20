"""Embeddings of a table's rows: of few rows in this process, of many by Ray workers; remembered by content."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from actors.cache.store import CachedDataset, Origin, StrategyStore
from actors.data.embedded_text import RULE_VERSION, row_texts
from actors.data.embedding_pass import embed_dataset
from actors.data.stored_dataset import StoredDataset
from actors.models.embedder import EXECUTED, SentenceEmbedder
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import Cluster, require_shared
from autodp_ray.config.run_config import Config
from autodp_ray.memo_folder import EMBEDDINGS, memo_folder
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix
from operators.contract.resources import Embedder
from operators.rows.content_hash import content_hash

IN_PROCESS_ROWS = 4096
"""Rows that are embedded here, half a minute on two cores: workers would take as long to load the model."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedTable:
    """The embeddings in the order of the rows; how many texts were asked for, and how many went through the model."""

    matrix: EmbeddingMatrix
    requested: int
    executed: int


class EmbedFn(Protocol):
    """`RowEmbedder`, or what stands in for it."""

    def __call__(self, table: pa.Table) -> EmbeddedTable: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RowEmbedder:
    """Embeds with the model of `sampling.embedder`."""

    config: Config
    cache: Storage
    connect: Callable[[], Cluster] | None = None
    """The Ray for large tables; None embeds those here too."""

    def __call__(self, table: pa.Table) -> EmbeddedTable:
        """Raises: InputError where the model cannot be had, or workers cannot see the cache."""
        embedder = open_embedder(self.config.sampling.embedder, self.cache)
        if self.connect is not None and table.num_rows > IN_PROCESS_ROWS:
            require_shared(self.cache, self.connect())
            return embed_by_workers(table, embedder, config=self.config, cache=self.cache)
        texts = row_texts(table, content=self.config.dataset.content_columns)
        matrix = EmbeddingMatrix.of_array(embedder.embed_matrix(texts))
        usage = embedder.usage()
        return EmbeddedTable(matrix=matrix, requested=usage.requested, executed=usage.executed)


def open_embedder(source: str, cache: Storage | None) -> SentenceEmbedder:
    """The embedder of a model source, with the memory of what was embedded before where a cache is given.

    Raises: InputError where the model cannot be had.
    """
    return SentenceEmbedder.of(source, memo=None if cache is None else memo_folder(cache) / EMBEDDINGS)


def embed_by_workers(table: pa.Table, embedder: Embedder, *, config: Config, cache: Storage) -> EmbeddedTable:
    """The embeddings of the rows by a pass of Ray workers over parts of the table, or found whole in the cache."""
    content = config.dataset.content_columns
    rule = f"{RULE_VERSION} {json.dumps(content)}"
    parts = [embedder.revision, rule, str(content_hash(table)), *table["id"].to_pylist()]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    store = StrategyStore(cache.folder("embeddings"))
    found = store.lookup(key)
    made = found or _computed(key, table, embedder, config=config, store=store)
    log.info("embeddings of %d rows in %s", made.dataset.num_rows, made.dataset.folder.shown)
    executed = 0 if found else made.dataset.manifest.counts.get(EXECUTED, 0)
    return EmbeddedTable(matrix=EmbeddingMatrix.stored(made.dataset), requested=table.num_rows, executed=executed)


def _computed(key: str, table: pa.Table, embedder: Embedder, *, config: Config, store: StrategyStore) -> CachedDataset:
    """The embeddings by a pass over rows of this driver's own; where another was first, its embeddings stay."""
    rows, out = store.workspace(), store.workspace()
    started = time.monotonic()
    try:
        step = config.pool.part_rows
        source = StoredDataset.write(rows, (table.slice(start, step) for start in range(0, table.num_rows, step)))
        embed_dataset(source, embedder, out=out, pool=config.pool, content=config.dataset.content_columns)
        origin = Origin(run_id="", strategy="embeddings", seconds=time.monotonic() - started)
        return store.commit(key, out, origin)
    finally:
        rows.delete()
        out.delete()
