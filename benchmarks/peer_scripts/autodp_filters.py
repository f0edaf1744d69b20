"""The operators of our default recipe that judge each row by itself, in one process, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from benchmarks.in_process import apply_here
from benchmarks.peer_scripts.measured import Row, Settings, Work, main
from benchmarks.text_rows import record_table
from operators.contract.resources import Resources
from operators.ngram_repetition import NgramRepetition
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup
from operators.token_count import TokenCount

BATCH_ROWS = 2048


def build(settings: Settings) -> Work:
    resources = Resources(tokenizer=ModelTokenizer(model=resolve_model(settings.tokenizer)))
    recipe = (
        StripMarkup(),
        SpecialCharRatio(max_ratio=settings.max_special_frac),
        TokenCount(max_tokens=settings.max_tokens),
        NgramRepetition(max_ratio=settings.max_repeated_frac),
    )

    def work(rows: Sequence[Row]) -> Sequence[int]:
        table = record_table(rows, prefix="row")
        batches = (table.slice(start, BATCH_ROWS) for start in range(0, table.num_rows, BATCH_ROWS))
        kept = (apply_here(recipe, batch, resources)["id"].to_pylist() for batch in batches)
        return [int(row_id.rpartition("-")[2]) for ids in kept for row_id in ids]

    return work


if __name__ == "__main__":
    main(build)
