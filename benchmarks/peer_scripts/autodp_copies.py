"""Our `deduplicate`, in one process."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.in_process import apply_here
from benchmarks.peer_scripts.measured import Row, Settings, Work, main
from benchmarks.text_rows import record_table
from operators.contract.resources import Resources
from operators.deduplicate import Deduplicate


def build(settings: Settings) -> Work:
    recipe = (Deduplicate(threshold=settings.threshold, num_perm=settings.num_perm),)

    def work(rows: Sequence[Row]) -> Sequence[int]:
        kept = apply_here(recipe, record_table(rows, prefix="row"), Resources())
        return [int(row_id.rpartition("-")[2]) for row_id in kept["id"].to_pylist()]

    return work


if __name__ == "__main__":
    main(build)
