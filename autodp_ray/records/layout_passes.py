"""What the layout's passes do with one split: count its rows, its columns that may hold turns, its ids."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.records.columnar_schemas import file_schema
from autodp_ray.records.files.file_ranges import RangeEnd
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.forms.evidence import FormEvidence
from autodp_ray.records.json_scan import JsonScan
from autodp_ray.records.splits.plan import Split
from autodp_ray.records.splits.split_reader import SplitReader


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRows:
    """Rows of JSON; the counts that it holds are empty, and so are its first results."""

    evidence: FormEvidence
    scan: JsonScan

    def __call__(self, split: Split) -> tuple[CountRows, RangeEnd]:
        counts = CountRows(evidence=self.evidence.of_a_part(), scan=self.scan.of_a_part())
        reader = SplitReader(split)
        for batch in reader.batches():
            counts.evidence.add_rows(batch.rows or [])
            counts.scan.add(batch.rows or [])
        return counts, reader.end


@dataclass(frozen=True, slots=True, kw_only=True)
class CountColumns:
    """The wanted columns of tables, as far as a file has them."""

    evidence: FormEvidence
    wanted: Set[str]

    def __call__(self, split: Split) -> tuple[FormEvidence, RangeEnd]:
        counts = self.evidence.of_a_part()
        reader = SplitReader(split, columns=self._present)
        for batch in reader.batches():
            if batch.table is not None:
                counts.add_table(batch.table)
        return counts, reader.end

    def _present(self, file: SourceFile) -> list[str]:
        return [key for key in file_schema(file).names if key in self.wanted]


@dataclass(frozen=True, slots=True, kw_only=True)
class HasEveryId:
    """Whether every row of tables fills the column `id`."""

    def __call__(self, split: Split) -> tuple[bool, RangeEnd]:
        reader = SplitReader(split, columns=lambda file: ["id"])
        is_filled = [batch.table is None or _has_every_id(batch.table["id"]) for batch in reader.batches()]
        return all(is_filled), reader.end


def _has_every_id(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count == 0 and not pc.any(pc.equal(column.cast(pa.string()), "")).as_py())
