"""A file appears whole or not at all, also where the disk has no room for its last bytes."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from actors.storage.storage import Storage
from autodp_ray.records.files.atomic_file import AtomicFile
from tests.little_room import room_for


@pytest.mark.parametrize("compression", [None, "gzip", "zstd", "xz"])
def test_a_file_whose_end_finds_no_room_is_discarded_without_another_error(
    tmp_path: Path, compression: str | None
) -> None:
    file = AtomicFile(Storage.at(tmp_path), "rows.jsonl", compression=compression)
    with room_for(4):
        with pytest.raises(OSError, match="File too large"):
            write_and_commit(file)
        file.discard()
    assert list(tmp_path.iterdir()) == []


def write_and_commit(file: AtomicFile) -> None:
    file.write(b'{"text": "of some length"}\n')
    file.commit()


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_with_room_the_file_is_there_and_nothing_else(tmp_path: Path, compression: str | None) -> None:
    write_and_commit(AtomicFile(Storage.at(tmp_path), "rows.jsonl", compression=compression))
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_file_that_is_too_large_for_its_store_to_move_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, *paths: str, **options: object) -> None:
        raise OSError("EntityTooLarge")

    monkeypatch.setattr("actors.storage.storage.MAX_MOVED_BYTES", 4)
    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.mv", refuse)
    folder = Storage.at(f"fsspec+memory://large-{uuid.uuid4().hex}/box")
    write_and_commit(AtomicFile(folder, "rows.jsonl", meanwhile=folder.folder("pieces")))
    assert folder.files() == ["rows.jsonl"]
