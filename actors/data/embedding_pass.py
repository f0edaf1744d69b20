"""One pass over a stored dataset that writes the embedding of every row, part by part.

The result is a stored dataset of its own with the columns `id` and `embedding` (fixed-size list of float32), its parts
cut as the dataset's. Rows never pass through the driver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from actors.data.embedded_text import row_texts
from actors.data.part_jobs import Written
from actors.data.part_passes import map_parts
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import StoredDataset, write_manifest, write_part
from actors.data.usage_counts import added_to, books_of
from actors.storage.storage import Storage
from operators.contract.operator import Needs
from operators.contract.resources import Embedder
from operators.rows.content_columns import ContentColumns

ProgressFn = Callable[[int, int], None]
"""Called with (rows done, rows of the dataset) as parts come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedPart:
    """Embeds the rows of one part."""

    embedder: Embedder
    out: Storage
    content: ContentColumns = "auto"
    """The further columns that carry content."""

    def __call__(self, index: int, table: pa.Table) -> Written:
        counts: Counter[str] = Counter()
        with added_to(counts, lambda: books_of(self.embedder)):
            embeddings = self.embedder.embed(row_texts(table, content=self.content))
        part = write_part(self.out, index, pa.table({"id": table["id"], "embedding": embeddings}))
        return Written(part=part, counts=counts)


def embed_dataset(
    dataset: StoredDataset,
    embedder: Embedder,
    *,
    out: Storage,
    pool: PoolConfig,
    content: ContentColumns = "auto",
    on_progress: ProgressFn | None = None,
) -> StoredDataset:
    """The embeddings of a dataset's rows, in the folder `out`; found there, they are not made again.

    The manifest's counts say how many texts were asked for and how many of them went through the model.
    """
    found = StoredDataset.open(out)
    if found is not None:
        return found
    written: list[Written] = []
    rows = 0
    job = EmbedPart(embedder=embedder, out=out, content=content)
    for _, num_rows, part in map_parts(dataset, job, needs=[Needs(embedder=True)], pool=pool, name="embedding"):
        written.append(part)
        rows += num_rows
        if on_progress:
            on_progress(rows, dataset.num_rows)
    counts: Counter[str] = Counter()
    for one in written:
        counts.update(one.counts)
    return write_manifest(out, [one.part for one in written], counts)
