"""Claims on the same test rows are counted once each, whoever tries them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.runs.test_reads import note_test_read
from operators.rows.record import RECORD_SCHEMA


def rows(folder: Path, answer: str) -> StoredDataset:
    row = {"id": "r1", "history": [], "question": "a", "answer": answer, "origin": "source"}
    return StoredDataset.write(Storage.at(str(folder)), [pa.Table.from_pylist([row], schema=RECORD_SCHEMA)])


def test_each_different_claim_counts_once_and_other_rows_count_for_themselves(tmp_path: Path) -> None:
    cache, test, other = Storage.at(str(tmp_path / "cache")), rows(tmp_path / "a", "b"), rows(tmp_path / "b", "c")
    assert note_test_read(cache, test, claim=["cleaning", 0]) == 1
    assert note_test_read(cache, test, claim=["cleaning", 0]) == 1, "the same run again tries nothing new"
    assert note_test_read(cache, test, claim=["cleaning", 1]) == 2
    assert note_test_read(cache, other, claim=["cleaning", 1]) == 1
    assert note_test_read(cache, test, claim=["cleaning", 0]) == 2, "what was tried since counts for it too"
