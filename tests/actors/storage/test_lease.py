"""A folder of an object store is held by one process at a time, and given back by those that were killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.storage import lease as module
from actors.storage.folder_lock import folder_lock
from actors.storage.lease import lease
from actors.storage.storage import Storage
from operators.contract.errors import InputError

BUSY = "somebody is here"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.05)
    monkeypatch.setattr(module, "DEAD_AFTER_S", 0.5)
    monkeypatch.setattr(module, "LOOK_S", 0.02)


@contextmanager
def _far_process(claims: Storage, *, renews: bool) -> Iterator[str]:
    """One of another machine, which leaves no lock file here; its claim."""
    name, done = uuid.uuid4().hex, threading.Event()
    claims.write_text(name, "0")

    def renew() -> None:
        while renews and not done.wait(0.05):
            claims.write_text(name, str(time.monotonic()))

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield name
    finally:
        done.set()
        thread.join()


def test_one_at_a_time_is_inside(tmp_path: Path) -> None:
    claims, inside, turns = Storage.at(tmp_path / "claims"), [], []

    def work() -> None:
        while True:
            try:
                with lease(claims, busy=BUSY):
                    inside.append(1)
                    turns.append(len(inside))
                    time.sleep(0.01)
                    inside.pop()
                    return
            except InputError:
                time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert turns == [1] * 8
    assert claims.names() == []


def test_who_comes_second_is_told_so_and_disturbs_nobody(tmp_path: Path) -> None:
    claims = Storage.at(tmp_path / "claims")
    with lease(claims, busy=BUSY):
        before = claims.names()
        with pytest.raises(InputError, match=BUSY):
            lease(claims, busy=BUSY).__enter__()
        assert claims.names() == before
    with _far_process(claims, renews=True) as name:
        with pytest.raises(InputError, match=BUSY):
            lease(claims, busy=BUSY).__enter__()
        assert claims.names() == [name]


def test_what_a_killed_process_of_another_machine_held_is_free_after_a_while(tmp_path: Path) -> None:
    claims = Storage.at(tmp_path / "claims")
    with _far_process(claims, renews=False) as name:
        started = time.monotonic()
        with lease(claims, busy=BUSY):
            assert time.monotonic() - started >= 0.5
            assert name not in claims.names()


def test_what_a_killed_process_of_this_machine_held_is_free_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEAD_AFTER_S", 1000.0)
    claims = Storage.at(tmp_path / "claims")
    code = (
        "import sys; from actors.storage.lease import lease; from actors.storage.storage import Storage\n"
        "with lease(Storage.at(sys.argv[1]), busy='busy'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, claims.location]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=BUSY):
            lease(claims, busy=BUSY).__enter__()
        other.kill()
    with lease(claims, busy=BUSY):
        assert len(claims.names()) == 1


def test_the_holder_changes_its_claim_until_it_is_gone(tmp_path: Path) -> None:
    claims = Storage.at(tmp_path / "claims")
    with lease(claims, busy=BUSY):
        (name,) = claims.names()
        first = claims.read_text(name)
        for _ in range(200):
            if claims.read_text(name) != first:
                break
            time.sleep(0.02)
        assert claims.read_text(name) != first
        claims.delete()
        time.sleep(0.2)
        assert claims.names() == []


def test_a_bucket_has_one_lock_for_each_folder(s3_bucket: Storage, tmp_path: Path) -> None:
    one, other = (s3_bucket.folder(f"{tmp_path.name}/{name}") for name in ("one", "other"))
    with folder_lock(one, ".lock", busy=BUSY), folder_lock(other, ".lock", busy=BUSY):
        for folder in (one, other):
            with pytest.raises(InputError, match=BUSY):
                folder_lock(folder, ".lock", busy=BUSY).__enter__()
    assert one.files() == []
    with folder_lock(one, ".lock", busy=BUSY):
        pass


def test_lock_files_of_processes_killed_long_ago_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "FORGOTTEN_AFTER_S", -1.0)  # all are that old
    claims, other = Storage.at(tmp_path / "claims"), Storage.at(tmp_path / "other")
    killed, foreign = tmp_path / f"autodp-{uuid.uuid4().hex}.lock", tmp_path / "autodp-mine.lock"
    killed.touch()
    foreign.touch()
    with lease(claims, busy=BUSY):
        (held,) = tmp_path.glob("autodp-" + "[0-9a-f]" * 32 + ".lock")
        assert not killed.exists()
        with lease(other, busy=BUSY):
            assert held.exists()
    assert list(tmp_path.glob("*.lock")) == [foreign]
