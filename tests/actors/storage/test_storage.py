"""Storage: the same folder semantics on a local disk and at a URI, whole files or none."""

from __future__ import annotations

import copy
import os
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs

from actors.storage.storage import Storage
from actors.storage.temporary_files import temporary_name
from operators.contract.errors import InputError, RunError


@pytest.fixture(params=["local", "remote"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """A folder on disk, and one that is only reached through a URI."""
    if request.param == "local":
        yield Storage.at(tmp_path / "box")
        return
    found = Storage.at(f"fsspec+memory://storage-{uuid.uuid4().hex}/box")
    yield found
    found.delete()


class Interrupting(Storage):
    """A folder whose disk is full after the first bytes."""

    @property
    def filesystem(self) -> fs.FileSystem:
        return _FullDisk(super().filesystem)


class _FullDisk:
    def __init__(self, real: fs.FileSystem) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def move(self, source: str, target: str) -> None:
        raise OSError("no space left on device")


def test_a_file_reads_back_as_it_was_written(storage: Storage) -> None:
    storage.write_text("deep/down/note.txt", "痛 — ok")
    storage.write_bytes("blob", b"\x00\xff")
    assert storage.read_text("deep/down/note.txt") == "痛 — ok"
    assert storage.read_bytes("blob") == b"\x00\xff"


def test_a_second_write_replaces_the_first(storage: Storage) -> None:
    storage.write_text("note.txt", "a much longer first text")
    storage.write_text("note.txt", "second")
    assert storage.read_text("note.txt") == "second"
    assert storage.names() == ["note.txt"]


def test_a_table_reads_back_with_its_schema_also_when_it_is_empty(storage: Storage) -> None:
    table = pa.table({"id": pa.array([], pa.string()), "n": pa.array([], pa.int64())})
    storage.write_table("t/empty.arrow", table)
    storage.write_table("t/full.arrow", pa.table({"n": [1, None]}))
    assert storage.read_table("t/empty.arrow") == table
    assert storage.read_table("t/full.arrow")["n"].to_pylist() == [1, None]


def test_names_are_sorted_and_a_missing_folder_has_none(storage: Storage) -> None:
    for name in ("b", "a", "folder/inner"):
        storage.write_text(name, "")
    assert storage.names() == ["a", "b", "folder"]
    assert storage.names("folder") == ["inner"]
    assert storage.names("nowhere") == []


def test_a_file_in_the_place_of_a_folder_holds_nothing(storage: Storage) -> None:
    storage.write_text("taken", "a file")
    assert storage.names("taken") == []
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("taken/inner")


def test_a_file_that_is_being_written_has_no_name_yet(storage: Storage) -> None:
    storage.write_text("box/.tmp-abc", "half")
    assert storage.names("box") == []


def test_what_killed_writers_left_of_a_file_is_told_from_what_others_write(storage: Storage) -> None:
    names = [temporary_name(name) for name in ("a", "a", "b")]
    for name in (*names, "a"):
        storage.write_text(f"box/{name}", "half")
    storage.folder("box").delete_temporary_of("a", "never")
    storage.folder("nowhere").delete_temporary_of("a")
    assert storage.files("box") == sorted(["a", names[2]])


def test_existence_of_files_folders_and_nothing(storage: Storage) -> None:
    storage.write_text("folder/file", "")
    assert storage.exists("folder/file")
    assert storage.exists("folder")
    assert not storage.exists("folder/other")


def test_deleting_takes_files_and_folders_and_minds_nothing_missing(storage: Storage) -> None:
    storage.write_text("folder/file", "")
    storage.write_text("file", "")
    storage.delete("folder")
    storage.delete("file")
    storage.delete("never")
    assert storage.names() == []


def test_a_folder_moves_whole(storage: Storage) -> None:
    storage.write_text("work/x/part", "rows")
    storage.write_text("work/x/manifest", "last")
    storage.move_folder("work/x", "done/key", last="manifest")
    assert storage.names("done/key") == ["manifest", "part"]
    assert storage.read_text("done/key/part") == "rows"
    assert not storage.exists("work/x")


def test_a_move_onto_a_folder_that_is_there_leaves_it_alone(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    storage.write_text("work/x/manifest", "second")
    storage.write_text("done/key/manifest", "first")
    with pytest.raises(OSError, match="not empty"):
        storage.move_folder("work/x", "done/key", last="manifest")
    assert storage.read_text("done/key/manifest") == "first"


def test_the_closing_file_arrives_last_where_folders_cannot_be_renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage.at(f"fsspec+memory://storage-{uuid.uuid4().hex}/box")
    for name in ("a-manifest", "part-1", "part-2"):
        storage.write_text(f"work/{name}", name)
    order: list[str] = []
    rename = Storage.rename

    def remember(self: Storage, source: str, target: str) -> None:
        order.append(target)
        rename(self, source, target)

    monkeypatch.setattr(Storage, "rename", remember)
    storage.move_folder("work", "done", last="a-manifest")
    assert order == ["done/part-1", "done/part-2", "done/a-manifest"]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    Storage.at(tmp_path).write_text("result.json", "old")
    with pytest.raises(OSError, match="no space"):
        Interrupting(str(tmp_path)).write_text("result.json", "new")
    assert Storage.at(tmp_path).read_text("result.json") == "old"
    assert Storage.at(tmp_path).names() == ["result.json"]


def test_a_relative_path_is_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Storage.at("runs/one")
    monkeypatch.chdir("/")
    assert found.location == str(tmp_path / "runs" / "one")
    assert Storage.at("~/x").location == os.path.expanduser("~/x")


def test_a_file_uri_is_a_local_path(tmp_path: Path) -> None:
    storage = Storage.at(f"file://{tmp_path}")
    assert storage.is_local
    assert storage == Storage.at(tmp_path)


def test_uris_of_files_and_inner_folders_are_those_of_the_folder_and_the_name() -> None:
    storage = Storage.at("s3://bucket/prefix/")
    assert not storage.is_local
    assert storage.uri("a/b") == "s3://bucket/prefix/a/b"
    assert storage.folder("a").folder("b").uri() == "s3://bucket/prefix/a/b"
    assert Storage.at("/").folder("x").path("y") == "/x/y"


def test_a_scheme_that_nobody_knows_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot open the storage location 'gopher://x/y'"):
        Storage.at("gopher://x/y").names()


def test_a_storage_travels_as_its_location_also_after_use(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    storage.write_text("note", "here")
    for travelled in (pickle.loads(pickle.dumps(storage)), copy.copy(storage)):
        assert travelled == storage
        assert travelled.read_text("note") == "here"
    assert len(pickle.dumps(storage)) < 300


def test_a_folder_with_folders_in_it_moves_whole(storage: Storage) -> None:
    storage.write_text("work/deep/part", "rows")
    storage.write_text("work/manifest", "last")
    storage.move_folder("work", "done", last="manifest")
    assert storage.names("done") == ["deep", "manifest"]
    assert storage.read_text("done/deep/part") == "rows"


def test_a_file_too_large_to_be_copied_in_the_store(monkeypatch: pytest.MonkeyPatch, storage: Storage) -> None:
    monkeypatch.setattr("actors.storage.storage.MAX_MOVED_BYTES", 4)
    monkeypatch.setattr("actors.storage.storage.COPY_BYTES", 3)
    storage.write_text("small", "1234")
    storage.write_text("large", "12345678")
    for name in ("small", "large"):
        storage.rename(name, f"moved/{name}")
    assert [storage.read_text(f"moved/{name}") for name in ("small", "large")] == ["1234", "12345678"]
    assert storage.names() == ["moved"]


def test_a_writer_that_is_killed_leaves_no_upload_of_a_small_file_in_s3(s3_bucket: Storage) -> None:
    import boto3

    folder = s3_bucket.folder("killed")
    with folder.filesystem.open_output_stream(folder.path("small")) as stream:
        stream.write(b"1234")
        assert not boto3.client("s3").list_multipart_uploads(Bucket="autodp").get("Uploads")
    assert folder.read_bytes("small") == b"1234"


def test_plain_files_go_to_a_folder_and_come_from_it(storage: Storage) -> None:
    with storage.folder("model").writable() as folder:
        Path(folder, "deep").mkdir(parents=True)
        Path(folder, "deep", "weights").write_bytes(b"\x00\x01")
        Path(folder, "card").write_text("ok")
    assert storage.names("model") == ["card", "deep"]
    with storage.folder("model").readable() as folder:
        assert Path(folder, "deep", "weights").read_bytes() == b"\x00\x01"
    assert Path(folder).exists() == storage.is_local, "a copy is gone"


def test_files_that_were_not_finished_do_not_go_to_a_uri() -> None:
    storage = Storage.at(f"fsspec+memory://storage-{uuid.uuid4().hex}/box")

    def write() -> None:
        with storage.folder("model").writable() as folder:
            Path(folder, "half").write_text("1")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        write()
    assert not storage.exists("model")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "in/../../outside", "a/.."])
def test_a_name_that_leads_out_of_the_folder_is_refused(storage: Storage, name: str) -> None:
    for act in (storage.read_bytes, storage.delete, lambda name: storage.write_text(name, "x")):
        with pytest.raises(RunError, match="leads out of"):
            act(name)


def test_empty_folders_go_and_those_with_files_stay(storage: Storage) -> None:
    for name in ("box/a/b/file", "box/c/d/gone", "box/e"):
        storage.write_text(name, "x")
    storage.delete("box/c/d/gone")
    storage.delete_empty_folders("box")
    assert storage.files() == ["box/a/b/file", "box/e"]
    assert storage.names("box") == ["a", "e"]
    for name in storage.files("box"):
        storage.delete(f"box/{name}")
    storage.delete_empty_folders("")
    assert storage.names() == []
    storage.delete_empty_folders("never")
