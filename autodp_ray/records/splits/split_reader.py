"""The rows of one split, in order and in bounded batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autodp_ray.records.files.file_ranges import RangeEnd
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.formats.raw_rows import RawBatch, range_batches
from autodp_ray.records.splits.plan import Split


class SplitReader:
    """Reads an exact split; `columns` says what is read of a file of tables, and with none of them the file is passed
    over."""

    def __init__(self, split: Split, *, columns: Callable[[SourceFile], list[str]] | None = None) -> None:
        self._split = split
        self._columns = columns
        self.end = RangeEnd(next_line=1)
        """How its last range ended, once all batches are taken."""

    def batches(self) -> Iterator[RawBatch]:
        left = self._split.limit
        for part in self._split.ranges:
            columns = None if self._columns is None else self._columns(part.file)
            if columns == []:
                continue
            ranged = range_batches(part, columns=columns)
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
