"""datatrove's MinHash pipeline with its own default settings: 14 buckets of 8 hashes, a threshold of about 0.72."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)

from benchmarks.peer_scripts.measured import Row, Settings, Work, main, text_of

LANGUAGE = {"english": "eng", "chinese": "cmn_Hani"}


def build(settings: Settings) -> Work:
    config = MinhashConfig()

    def work(rows: Sequence[Row]) -> Sequence[int]:
        with tempfile.TemporaryDirectory(dir=settings.scratch) as folder:
            signatures, pairs, removed = (f"{folder}/{name}" for name in ("signatures", "pairs", "removed"))
            first = MinhashDedupSignature(signatures, config=config, language=LANGUAGE[settings.language])
            first.run(_documents(rows))
            for bucket in range(config.num_buckets):
                MinhashDedupBuckets(signatures, pairs, config=config).run(None, bucket, config.num_buckets)
            MinhashDedupCluster(pairs, removed, config=config).run(None, 0, 1)
            return [int(document.id) for document in MinhashDedupFilter(removed).run(_documents(rows))]

    return work


def _documents(rows: Sequence[Row]) -> Iterator[Document]:
    return (Document(text=text_of(row), id=str(at)) for at, row in enumerate(rows))


if __name__ == "__main__":
    main(build)
