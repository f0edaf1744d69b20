"""The rows of one split, in order and in bounded batches."""

from __future__ import annotations

from collections.abc import Iterator

from autodp_ray.records.files.file_ranges import RangeEnd
from autodp_ray.records.formats.raw_rows import RawBatch, range_batches
from autodp_ray.records.splits.plan import Split


class SplitReader:
    """Reads an exact split; `columns` restricts what is read of tables."""

    def __init__(self, split: Split, *, columns: list[str] | None = None) -> None:
        self._split = split
        self._columns = columns
        self.end = RangeEnd(next_line=1)
        """How its last range ended, once all batches are taken."""

    def batches(self) -> Iterator[RawBatch]:
        left = self._split.limit
        for part in self._split.ranges:
            ranged = range_batches(part, columns=self._columns)
            while left is None or left > 0:
                try:
                    batch = next(ranged)
                except StopIteration as stop:
                    self.end = stop.value
                    break
                if left is not None:
                    batch = batch.head(left)
                    left -= batch.num_rows + len(batch.bad)
                yield batch
