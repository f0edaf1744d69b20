"""rensa's deduplicator over all shingles of a text: MinHash in Rust, candidates checked by estimated similarity."""

from __future__ import annotations

from collections.abc import Sequence

from rensa import RMinHashDeduplicator

from benchmarks.peer_scripts.measured import Row, Settings, Work, main, text_of
from benchmarks.peer_scripts.shingles import shingles


def build(settings: Settings) -> Work:
    def work(rows: Sequence[Row]) -> Sequence[int]:
        found = RMinHashDeduplicator(threshold=settings.threshold, num_perm=settings.num_perm, use_lsh=True)
        texts = (text_of(row) for row in rows)
        kept = found.add_pairs((str(at), shingles(text, settings.language)) for at, text in enumerate(texts))
        return [at for at, stays in enumerate(kept) if stays]

    return work


if __name__ == "__main__":
    main(build)
