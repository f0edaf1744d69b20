"""A storage is tried without leaving anything, and one that the driver does not see is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage.probe import planted, probe
from actors.storage.storage import Storage
from operators.contract.errors import InputError


def test_a_good_storage_is_left_empty_and_lists_nothing_meanwhile(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "runs")
    with planted(storage) as name:
        probe(storage, name)
        assert storage.exists(name)
        assert storage.names() == []
    assert list((tmp_path / "runs").iterdir()) == []


def test_another_folder_under_the_same_name_is_not_the_storage(tmp_path: Path) -> None:
    with planted(Storage.at(tmp_path / "here")) as name:
        elsewhere = Storage.at(tmp_path / "there")
        with pytest.raises(InputError, match=r"does not hold what the driver wrote there: mount the same folder"):
            probe(elsewhere, name)


def test_other_bytes_than_were_written_are_told(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    with planted(storage) as name:
        storage.write_bytes(name, b"other")
        with pytest.raises(InputError, match="gives back other bytes"):
            probe(storage, name)


def test_a_place_that_cannot_be_written_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(InputError, match="cannot be written, read and deleted on"),
        planted(Storage.at(tmp_path / "file")),
    ):
        pass


def test_an_object_store_is_tried_the_same_way(s3_bucket: Storage) -> None:
    storage = s3_bucket.folder("doctor")
    with planted(storage) as name:
        probe(storage, name)
    assert storage.names() == []
    with pytest.raises(InputError, match="cannot"), planted(Storage.at("s3://no-such-bucket-here/x")):
        pass
