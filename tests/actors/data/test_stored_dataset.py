"""Stored datasets: whole or not there, checked by hash and checksum."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.data.stored_dataset import MANIFEST, StoredDataset, write_manifest, write_part
from actors.storage.storage import Storage
from operators.contract.errors import RunError
from operators.rows.content_hash import content_hash
from operators.rows.record import RECORD_SCHEMA


def records(num_rows: int, *, start: int = 0) -> pa.Table:
    rows: list[dict[str, object]] = [
        {"id": f"r{at}", "history": [], "question": f"q{at}", "answer": None if at % 3 else "a", "origin": "source"}
        for at in range(start, start + num_rows)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def remote() -> Storage:
    return Storage.at(f"fsspec+memory://dataset-{uuid.uuid4().hex}/d")


def test_rows_read_back_in_their_order_with_their_counts(tmp_path: Path) -> None:
    written = StoredDataset.write(Storage.at(tmp_path), [records(3), records(2, start=3)], {"dropped:short": 4})
    found = StoredDataset.open(Storage.at(tmp_path))
    assert found == written
    assert found is not None
    assert found.read() == records(5)
    assert found.num_rows == 5
    assert found.manifest.counts == {"dropped:short": 4}
    assert [batch.num_rows for batch in found.batches()] == [3, 2]
    assert found.read(["id"]).column_names == ["id"]


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 12), max_size=3))
def test_the_content_hash_is_that_of_the_rows_however_they_are_cut(cuts: list[int]) -> None:
    table, edges = records(12), [0, *sorted(cuts), 12]
    parts = [table.slice(start, end - start) for start, end in itertools.pairwise(edges)]
    assert StoredDataset.write(remote(), parts).content_hash == str(content_hash(table))


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path: Path) -> None:
    write_part(Storage.at(tmp_path), 0, records(3))
    assert StoredDataset.open(Storage.at(tmp_path)) is None
    assert StoredDataset.open(Storage.at(tmp_path / "nowhere")) is None


def test_a_source_that_breaks_off_leaves_no_dataset(tmp_path: Path) -> None:
    def broken() -> object:
        yield records(2)
        raise RuntimeError("the reader broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        StoredDataset.write(Storage.at(tmp_path), broken())  # type: ignore[arg-type]
    assert StoredDataset.open(Storage.at(tmp_path)) is None


def test_parts_come_in_the_order_of_their_numbers_not_of_their_arrival(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path)
    parts = [write_part(folder, index, records(1, start=index)) for index in (11, 2, 0)]
    assert write_manifest(folder, parts, {}).read()["id"].to_pylist() == ["r0", "r2", "r11"]


def test_a_part_that_is_written_twice_is_the_same_part(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path)
    assert write_part(folder, 0, records(4)) == write_part(folder, 0, records(4))
    assert folder.names() == ["part-000000.arrow"]


def test_metadata_of_a_schema_stays_out_of_the_file(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path)
    plain, counted = records(4), records(4).replace_schema_metadata({"note": "x"})
    assert write_part(folder, 0, plain).checksum == write_part(folder, 1, counted).checksum


def test_a_slice_writes_its_own_rows_only(tmp_path: Path) -> None:
    whole, sliced = records(4000), records(4000).slice(10, 2)
    folder = Storage.at(tmp_path)
    assert write_part(folder, 1, sliced).num_bytes * 20 < write_part(folder, 0, whole).num_bytes
    assert folder.read_table("part-000001.arrow")["id"].to_pylist() == ["r10", "r11"]


def test_an_empty_part_keeps_the_schema(tmp_path: Path) -> None:
    found = StoredDataset.write(Storage.at(tmp_path), [records(0)])
    assert found.num_rows == 0
    assert found.read().schema == RECORD_SCHEMA


def test_a_dataset_without_parts_reads_as_no_records(tmp_path: Path) -> None:
    found = StoredDataset.write(Storage.at(tmp_path), [])
    assert found.read().schema == RECORD_SCHEMA
    assert found.read(["id", "answer"]).column_names == ["id", "answer"]


def test_every_changed_byte_of_a_part_is_found(tmp_path: Path) -> None:
    found = StoredDataset.write(Storage.at(tmp_path), [records(3), records(3, start=3)])
    found.verify()
    part = tmp_path / "part-000001.arrow"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    for use in (found.verify, found.read, found.rows_for_workers, lambda: list(found.batches(["id"]))):
        with pytest.raises(RunError, match=r"part-000001\.arrow is damaged"):
            use()


def test_a_part_that_is_gone_or_cut_short_is_found(tmp_path: Path) -> None:
    found = StoredDataset.write(Storage.at(tmp_path), [records(3)])
    part = tmp_path / "part-000000.arrow"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(RunError, match="damaged"):
        found.verify()
    part.unlink()
    with pytest.raises(RunError, match=r"part-000000\.arrow is gone"):
        found.verify()


@pytest.mark.parametrize("text", ["{", "{}", '{"num_rows": "many"}', "\ufffd"])
def test_a_manifest_that_cannot_be_read_is_a_run_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(RunError, match=rf"{MANIFEST} is damaged"):
        StoredDataset.open(Storage.at(tmp_path))


def test_workers_get_paths_of_local_parts_and_rows_of_others(tmp_path: Path) -> None:
    local = StoredDataset.write(Storage.at(tmp_path), [records(2), records(1, start=2)])
    paths = local.rows_for_workers()
    assert isinstance(paths, tuple)
    assert [Path(path).name for path in paths] == ["part-000000.arrow", "part-000001.arrow"]
    elsewhere = StoredDataset.write(remote(), [records(3)])
    assert elsewhere.rows_for_workers() == records(3)


def test_a_dataset_crosses_processes_as_plain_data(tmp_path: Path) -> None:
    written = StoredDataset.write(Storage.at(tmp_path), [records(2)])
    travelled = StoredDataset.model_validate(written.model_dump())
    assert travelled.read() == records(2)
