"""Scratch folders are gone with whoever works in them, however that ends, and never before."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from actors.storage.scratch import PREFIX, scratch_folder


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def work_until_killed(root: str, name: str | None, ready: Connection) -> None:
    tempfile.tempdir = root
    with scratch_folder(name) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "rows").write_text("private")
        ready.send(str(folder))
        signal.pause()


def kill_one_at_work(root: Path, name: str | None) -> tuple[Path, list[str]]:
    """The folder of a process, and what folders another one finds while it lives; then it is killed."""
    told, ready = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=work_until_killed, args=(str(root), name, ready))
    process.start()
    assert told.poll(60)
    folder = Path(told.recv())
    with scratch_folder():
        found = [str(each) for each in root.iterdir()]
    process.kill()
    process.join()
    return folder, found


@pytest.mark.parametrize("name", [None, "of-all-ranks"])
def test_the_folder_of_a_process_stays_while_it_lives_and_goes_with_the_next_that_wants_one_after_a_kill(
    tmp_path: Path, name: str | None
) -> None:
    folder, found_while_alive = kill_one_at_work(tmp_path, name)
    assert str(folder) in found_while_alive
    assert (folder / "inner" / "rows").exists()
    with scratch_folder() as other:
        assert [each for each in tmp_path.iterdir() if each != other] == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_private_and_goes_after_a_fault_too(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder() as folder:
            assert folder.stat().st_mode & 0o077 == 0
            raise RuntimeError("of the work")

    with pytest.raises(RuntimeError, match="of the work"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_shared_folder_goes_with_the_last_that_works_in_it(tmp_path: Path) -> None:
    with scratch_folder("one") as first:
        with scratch_folder("one") as second, scratch_folder("two") as other:
            assert first == second != other
        assert [*tmp_path.iterdir()] == [first]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_folder_of_ours_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").write_text("a file")
    before = sorted(tmp_path.iterdir())
    with scratch_folder():
        pass
    assert sorted(tmp_path.iterdir()) == before


def test_where_the_filesystem_has_no_locks_ones_own_folder_goes_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lock: int, operation: int) -> None:
        raise OSError(os.strerror(9))

    left = tmp_path / f"{PREFIX}of-somebody"
    left.mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with scratch_folder() as own:
        assert own.is_dir()
    assert list(tmp_path.iterdir()) == [left]


def test_a_folder_that_is_deleted_before_it_is_held_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    lock_it = fcntl.flock

    def delete_the_first(lock: int, operation: int) -> None:
        if not taken:
            for each in tmp_path.iterdir():
                each.rmdir()
        taken.append(lock)
        lock_it(lock, operation)

    monkeypatch.setattr(fcntl, "flock", delete_the_first)
    with scratch_folder() as folder:
        assert folder.is_dir()
