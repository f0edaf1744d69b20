"""Stored datasets as files: the same rows and bytes, whoever writes them."""

from __future__ import annotations

import errno
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.ingest.store_dataset import StoredInput, store_dataset
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.files.atomic_file import AtomicFile
from autodp_ray.records.output import dataset_writer
from autodp_ray.records.output.dataset_writer import write_dataset
from autodp_ray.records.output.writer import write_records
from autodp_ray.records.output.written_files import WrittenFiles
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.records.reader import read_records
from operators.contract.errors import RunError


def stored(folder: Path, *, num: int = 300, suffix: str = ".jsonl", part_rows: int = 20) -> StoredInput:
    rows = [{"question": f"q{n}", "answer": "问" * (n % 3) or None, "n": n % 7} for n in range(num)]
    path = folder / f"a{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    with Quarantine(Storage.at(folder / "quarantine")) as quarantine:
        return store_dataset(
            DatasetConfig(path=str(path)),
            out=Storage.at(folder / "stored"),
            quarantine=quarantine,
            pool=PoolConfig(part_rows=part_rows),
            for_models=True,
        )


def by_one_writer(found: StoredInput, folder: Path, name: str) -> bytes:
    (location,) = write_records(found.dataset.batches(), str(folder / "one" / name), layout=found.layout)
    return Path(location).read_bytes()


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows come in several pieces."""
    monkeypatch.setattr(dataset_writer, "PIECE_BYTES", 8_000)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_a_folder_of_little_data_has_one_file(tmp_path: Path, suffix: str) -> None:
    found = stored(tmp_path, suffix=suffix)
    files = write_dataset(found.dataset, str(tmp_path / "out"), layout=found.layout, pool=PoolConfig())
    assert files == [str(tmp_path / "out" / f"data{suffix}")]
    assert Path(files[0]).read_bytes() == by_one_writer(found, tmp_path, f"data{suffix}")


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_a_folder_of_much_data_has_files_of_a_bounded_size(tmp_path: Path, suffix: str) -> None:
    found = stored(tmp_path, suffix=suffix)
    size = max(part.num_bytes for part in found.dataset.manifest.parts)
    out = tmp_path / "out"
    out.mkdir()
    (out / f"data{suffix}").write_text("of an earlier writing")
    for name in (f"data-00099{suffix}", "data.csv", "data-00000.tsv"):
        (out / name).write_text("of an earlier writing")
    (out / "notes.txt").write_text("the user's own")
    files = write_dataset(found.dataset, str(out), layout=found.layout, pool=PoolConfig(file_bytes=4 * size))
    assert 3 <= len(files) <= 5
    assert sorted(path.name for path in out.iterdir()) == sorted([*(Path(file).name for file in files), "notes.txt"])
    (out / "notes.txt").unlink()
    again = pa.concat_tables(list(read_records(DatasetConfig(path=str(out)), on_quarantine=print)))
    assert again["id"].to_pylist() == found.dataset.read()["id"].to_pylist()


def test_no_rows_are_one_file_without_rows(tmp_path: Path) -> None:
    found = stored(tmp_path, num=3)
    empty = StoredDataset.write(Storage.at(tmp_path / "empty"), [])
    for target in ("out", "out.jsonl"):
        (file,) = write_dataset(empty, str(tmp_path / target), layout=found.layout, pool=PoolConfig())
        assert Path(file).read_bytes() == b""


@pytest.mark.usefixtures("in_pieces")
def test_whoever_writes_again_after_a_kill_clears_what_was_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out = stored(tmp_path), tmp_path / "out"
    monkeypatch.setattr(dataset_writer, "has_workers", lambda: True)
    with monkeypatch.context() as killed:
        for name in ("commit", "discard"):
            killed.setattr(AtomicFile, name, AtomicFile.close)
        killed.setattr(Storage, "delete", lambda storage, name="": None)
        killed.setattr(dataset_writer, "_append", lambda *arguments: None)
        with pytest.raises(FileNotFoundError):
            Path(write_dataset(found.dataset, str(out / "a.jsonl"), layout=found.layout, pool=PoolConfig())[0]).stat()
    assert [file for file in out.rglob("*") if file.is_file()]
    write_dataset(found.dataset, str(out / "a.jsonl"), layout=found.layout, pool=PoolConfig())
    assert [file.name for file in out.rglob("*")] == ["a.jsonl"]


def test_a_damaged_part_leaves_no_file(tmp_path: Path) -> None:
    found = stored(tmp_path)
    (tmp_path / "stored" / found.dataset.manifest.parts[3].file).write_bytes(b"damaged")
    for target in ("out", "out.jsonl"):
        with pytest.raises(RunError, match="damaged"):
            write_dataset(found.dataset, str(tmp_path / target), layout=found.layout, pool=PoolConfig())
    assert not (tmp_path / "out.jsonl").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_files_that_were_written_whole_before_a_full_disk_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out, pool = stored(tmp_path), tmp_path / "out", PoolConfig(file_bytes=1)
    expected = by_one_writer(found, tmp_path, "data.jsonl")
    plain, room = AtomicFile.write, [7]

    def write(file: AtomicFile, data: bytes) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "no room")
        plain(file, data)

    monkeypatch.setattr(AtomicFile, "write", write)
    with pytest.raises(OSError, match="no room"):
        write_dataset(found.dataset, str(out), layout=found.layout, pool=pool)
    (out / "data-00002.jsonl").write_text("of another size")
    (out / "data-00004.jsonl").unlink()
    assert not list(out.glob(".tmp-*"))
    room[0] = 8 + 2
    files = write_dataset(found.dataset, str(out), layout=found.layout, pool=pool)
    assert room[0] == 0, "eight files were left, and two are gone"
    assert b"".join(Path(file).read_bytes() for file in files) == expected
    assert {path.name for path in out.iterdir()} == {Path(file).name for file in files}


def test_files_that_were_made_of_other_rows_are_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, pool = tmp_path / "out", PoolConfig(file_bytes=1)
    for at, num in enumerate((40, 60)):
        (tmp_path / str(at)).mkdir()
        found = stored(tmp_path / str(at), num=num, part_rows=20 + at)
        with monkeypatch.context() as killed:
            killed.setattr(WrittenFiles, "forget", lambda known: None)
            files = write_dataset(found.dataset, str(out), layout=found.layout, pool=pool)
        text = b"".join(Path(file).read_bytes() for file in files)
        assert text == by_one_writer(found, tmp_path / str(at), "data.jsonl")


@pytest.mark.usefixtures("local_ray", "in_pieces")
@pytest.mark.parametrize("num_cpus", [0.5, 4.0])
def test_workers_write_the_bytes_of_one_writer(tmp_path: Path, num_cpus: float) -> None:
    found = stored(tmp_path, num=3000, part_rows=200)
    pool = PoolConfig(num_cpus_per_worker=num_cpus, file_bytes=1)
    expected = by_one_writer(found, tmp_path, "a.jsonl")
    (file,) = write_dataset(found.dataset, str(tmp_path / "o" / "a.jsonl"), layout=found.layout, pool=pool)
    assert Path(file).read_bytes() == expected
    (packed,) = write_dataset(found.dataset, str(tmp_path / "o" / "a.jsonl.gz"), layout=found.layout, pool=pool)
    assert gzip.decompress(Path(packed).read_bytes()) == expected
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["a.jsonl", "a.jsonl.gz"]
    files = write_dataset(found.dataset, str(tmp_path / "folder"), layout=found.layout, pool=pool)
    assert len(files) == 15
    assert b"".join(Path(file).read_bytes() for file in files) == expected
    files = write_dataset(found.dataset, str(tmp_path / "folder"), layout=found.layout, pool=PoolConfig())
    assert files == [str(tmp_path / "folder" / "data.jsonl")]
    assert Path(files[0]).read_bytes() == expected
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["data.jsonl"]


@pytest.mark.usefixtures("local_ray", "in_pieces")
def test_a_part_that_workers_find_damaged_leaves_no_file(tmp_path: Path) -> None:
    found = stored(tmp_path)
    (tmp_path / "stored" / found.dataset.manifest.parts[3].file).write_bytes(b"damaged")
    with pytest.raises(RunError, match="damaged"):
        write_dataset(found.dataset, str(tmp_path / "out" / "a.jsonl"), layout=found.layout, pool=PoolConfig())
    assert list((tmp_path / "out").iterdir()) == []
