"""How much of a file of tables is fetched at a time, however large its row groups are."""

from __future__ import annotations

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autodp_ray.records.formats import table_files
from autodp_ray.records.formats.table_files import MAX_ROWS, parquet_tables

FETCH_BYTES = 2 << 20


class Fetched(io.BytesIO):
    """A file that counts the bytes that are read from it."""

    num_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.num_bytes += len(data)
        return data


@pytest.mark.parametrize("group_rows", [1_000, 100_000])
def test_a_parquet_file_is_fetched_piece_by_piece(monkeypatch: pytest.MonkeyPatch, group_rows: int) -> None:
    monkeypatch.setattr(table_files, "FETCH_BYTES", FETCH_BYTES)
    draw = random.Random(7)
    table = pa.table({name: [draw.randbytes(100).hex() for _ in range(50_000)] for name in ("question", "answer")})
    file = Fetched()
    pq.write_table(table, file, row_group_size=group_rows)
    assert len(file.getvalue()) > 5 * FETCH_BYTES
    found = []
    for part in parquet_tables(pa.PythonFile(file, mode="r"), columns=None):
        found.append(part)
        behind = sum(each.num_rows for each in found) / table.num_rows * len(file.getvalue())
        assert file.num_bytes < behind + 2 * FETCH_BYTES
    assert max(part.num_rows for part in found) <= MAX_ROWS
    assert pa.concat_tables(found).equals(table)
