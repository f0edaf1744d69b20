"""Checkpoints at a path and at a URI: the last whole one is found, and a training goes on from it."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist
from transformers import TrainerState

from actors.storage.scratch import PREFIX
from actors.storage.storage import Storage
from actors.training.checkpoints import STATE, Checkpoints


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield Storage.at(tmp_path / "checkpoints")
        return
    bucket: Storage = request.getfixturevalue("s3_bucket")
    yield bucket.folder("checkpoints")
    bucket.delete("checkpoints")


@pytest.fixture(autouse=True)
def folder_of_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no other process makes its copies in."""
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))  # of the processes that a test starts
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def copies() -> list[Path]:
    return [path for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if path.is_dir()]


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


def test_a_copy_that_a_kill_left_is_not_taken_for_a_checkpoint_of_a_training_begun_anew(
    s3_bucket: Storage, tmp_path: Path
) -> None:
    folder = s3_bucket.folder("killed")
    write_checkpoint(folder, 1)
    killed = Checkpoints(folder.location, scratch=str(tmp_path)).last()
    left = killed.__enter__()
    folder.delete()
    folder.write_text("checkpoint-1/weights", "of another training")
    folder.write_text(f"checkpoint-1/{STATE}", '{"log_history": []}')
    with Checkpoints(folder.location, scratch=str(tmp_path)).last() as found:
        assert found is not None
        assert found != left
        assert Path(found, "weights").read_text() == "of another training"
    killed.__exit__(None, None, None)
    assert copies() == []


def test_a_copy_goes_once_all_ranks_have_made_a_step(s3_bucket: Storage, tmp_path: Path) -> None:
    folder = s3_bucket.folder("read")
    write_checkpoint(folder, 1)
    checkpoints = Checkpoints(folder.location, scratch=str(tmp_path))
    with checkpoints.last() as found:
        assert found is not None
        checkpoints.on_step_end(None, TrainerState(), None)
        assert not Path(found).exists()


def of_rank(rank: int, location: str, meeting: str, scratch: str) -> None:
    """Two ranks of one machine: each sends what it wrote, and starts from what both sent."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    checkpoints = Checkpoints(location, scratch=f"{scratch}/{rank}")
    for step in (1, 2):
        mine = Storage.at(f"{scratch}/{rank}/checkpoint-{step}")
        mine.write_text(f"shard-{rank}", f"{rank} at {step}")
        if rank == 0:
            mine.write_text(STATE, f'{{"global_step": {step}}}')
        else:
            time.sleep(1)  # rank 0 waits for it before it calls the checkpoint whole
        checkpoints.on_save(None, TrainerState(global_step=step), None)
    dist.barrier()
    with checkpoints.last() as found:
        assert found is not None
        assert [Path(found, f"shard-{each}").read_text() for each in (0, 1)] == ["0 at 2", "1 at 2"]
        dist.barrier()
    dist.destroy_process_group()


def test_ranks_send_their_parts_and_read_them_all(s3_bucket: Storage, tmp_path: Path) -> None:
    folder = s3_bucket.folder("ranks")
    spawn = multiprocessing.get_context("spawn")
    arguments = (folder.location, str(tmp_path / "meeting"), str(tmp_path / "scratch"))
    ranks = [spawn.Process(target=of_rank, args=(rank, *arguments)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    assert folder.names() == ["checkpoint-2"]
    assert folder.names("checkpoint-2") == ["shard-0", "shard-1", STATE]
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
