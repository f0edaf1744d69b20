"""Checkpoints at a path and at a URI: the last whole one is found, and a training goes on from it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import TrainerState

from actors.storage import Storage
from actors.training.checkpoints import STATE, Checkpoints


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield Storage.at(tmp_path / "checkpoints")
        return
    bucket: Storage = request.getfixturevalue("s3_bucket")
    yield bucket.folder("checkpoints")
    bucket.delete("checkpoints")


def copies() -> list[Path]:
    return [path for path in Path(tempfile.gettempdir()).glob("autodp-checkpoints-*") if path.is_dir()]


def write_checkpoint(folder: Storage, step: int, *, whole: bool = True) -> None:
    folder.write_text(f"checkpoint-{step}/weights", f"of {step}")
    if whole:
        folder.write_text(f"checkpoint-{step}/{STATE}", "{}")


def test_the_last_whole_checkpoint_is_found(folder: Storage, tmp_path: Path) -> None:
    checkpoints = Checkpoints(folder.location, scratch=str(tmp_path / "scratch"))
    with checkpoints.last() as none:
        assert none is None
    for step, whole in ((8, True), (9, True), (10, True), (11, False)):
        write_checkpoint(folder, step, whole=whole)
    folder.write_text("notes", "no checkpoint")
    for _ in range(2):
        with checkpoints.last() as found:
            assert found is not None
            assert Path(found, "weights").read_text() == "of 10"
            assert Path(found).name == "checkpoint-10"
            assert len(copies()) == (not folder.is_local)
        assert copies() == []


def test_a_copy_that_a_kill_left_gives_way_to_a_later_checkpoint(s3_bucket: Storage, tmp_path: Path) -> None:
    folder = s3_bucket.folder("killed")
    checkpoints = Checkpoints(folder.location, scratch=str(tmp_path))
    write_checkpoint(folder, 1)
    killed = checkpoints.last()
    killed.__enter__()
    write_checkpoint(folder, 2)
    with checkpoints.last() as found:
        assert found is not None
        assert [path.name for path in Path(found).parent.iterdir()] == ["checkpoint-2"]
    assert copies() == []


def test_what_a_rank_wrote_goes_to_the_uri_and_replaces_what_is_older(s3_bucket: Storage, tmp_path: Path) -> None:
    folder, scratch = s3_bucket.folder("sent"), Storage.at(tmp_path / "scratch")
    checkpoints = Checkpoints(folder.location, scratch=scratch.location)
    assert checkpoints.written_to == scratch.location
    for step in (1, 2):
        write_checkpoint(scratch, step)
        checkpoints.on_save(None, TrainerState(global_step=step), None)
        assert scratch.names() == []
    assert folder.names() == ["checkpoint-2"]
    assert folder.names("checkpoint-2") == [STATE, "weights"]


def test_a_rank_that_has_no_state_to_send_makes_no_checkpoint_whole(s3_bucket: Storage, tmp_path: Path) -> None:
    folder, scratch = s3_bucket.folder("other-rank"), Storage.at(tmp_path / "scratch")
    checkpoints = Checkpoints(folder.location, scratch=scratch.location)
    write_checkpoint(folder, 1)
    write_checkpoint(scratch, 2, whole=False)
    checkpoints.on_save(None, TrainerState(global_step=2), None)
    assert folder.names() == ["checkpoint-1", "checkpoint-2"]
    with checkpoints.last() as found:
        assert found is not None
        assert Path(found).name == "checkpoint-1"
