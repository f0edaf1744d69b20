"""Data-Juicer's document_minhash_deduplicator with the tokenization that its documentation names for the language."""

from __future__ import annotations

from collections.abc import Sequence

from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator

from benchmarks.peer_scripts.measured import Row, Settings, Work, main, text_of

TOKENIZATION = {"english": "space", "chinese": "character"}
IN_PROCESS = {"auto_op_parallelism": False, "num_proc": None}
"""Its `num_proc=1` would start another process for each step."""


def build(settings: Settings) -> Work:
    operator = DocumentMinhashDeduplicator(
        tokenization=TOKENIZATION[settings.language],
        num_permutations=settings.num_perm,
        jaccard_threshold=settings.threshold,
        **IN_PROCESS,
    )

    def work(rows: Sequence[Row]) -> Sequence[int]:
        texts = [text_of(row) for row in rows]
        dataset = NestedDataset.from_dict({"text": texts, "row": list(range(len(texts)))})
        return list(operator.run(dataset)["row"])

    return work


if __name__ == "__main__":
    main(build)
