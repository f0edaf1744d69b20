"""The store below every cache of rows: its bound, several processes on one file, damaged files."""

from __future__ import annotations

import multiprocessing
import pickle
import sqlite3
from pathlib import Path

import pytest

from actors.row_store import OVERHEAD_BYTES, RowStore, Table

TABLE = Table(name="things", columns={"text": "TEXT", "number": "INTEGER", "data": "BLOB"})
DAMAGE = b"this is no database, and long enough to be looked at " * 40


def open_store(path: Path, max_bytes: int = 10**6) -> RowStore:
    return RowStore(path, table=TABLE, max_bytes=max_bytes)


def write_rows(path: Path, worker: int) -> None:
    """What another process does: several rows, one at a time."""
    store = open_store(path)
    for at in range(40):
        store.put({f"{worker}-{at}": ("x", at, b"")})
    store.close()


def write_from_processes(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=write_rows, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]


ALL_KEYS = [f"{worker}-{at}" for worker in range(3) for at in range(40)]


def test_more_keys_than_a_statement_takes_are_found(tmp_path: Path) -> None:
    store = open_store(tmp_path / "sub" / "s.sqlite")
    told = {f"k{at}": (str(at), at, bytes([at % 256])) for at in range(1234)}
    store.put(told)
    assert store.get(["absent", *told]) == told


def test_the_least_recently_used_are_forgotten_beyond_the_bound(tmp_path: Path) -> None:
    each = 100 + OVERHEAD_BYTES
    store = open_store(tmp_path / "s.sqlite", max_bytes=10 * each)
    for at in range(10):
        store.put({f"k{at}": ("\u75db" * 20, at, b"x" * 40)})
    assert store.size_bytes() == 10 * each
    store.get(["k0"])
    store.put({"new": ("x" * 60, 0, b"x" * 40)})
    assert store.size_bytes() <= 9 * each
    assert set(store.get(["k0", "new", "k9"])) == {"k0", "new", "k9"}
    assert store.get(["k1", "k2"]) == {}


def test_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    write_from_processes(path)
    assert set(open_store(path).get(ALL_KEYS)) == set(ALL_KEYS)


def test_processes_that_find_a_damaged_file_at_once_set_it_aside_once_and_share_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(DAMAGE)
    write_from_processes(path)
    assert set(open_store(path).get(ALL_KEYS)) == set(ALL_KEYS)
    assert [one.read_bytes() for one in tmp_path.glob("s.sqlite.corrupt-*")] == [DAMAGE]


def test_a_failed_write_leaves_nothing_behind_and_the_store_goes_on(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s.sqlite")
    with pytest.raises(sqlite3.IntegrityError):
        store.put({"good": ("x", 1, b""), "bad": ("x", None, b"")})
    assert store.get(["good", "bad"]) == {}
    store.put({"good": ("x", 1, b"")})
    assert set(store.get(["good"])) == {"good"}


def test_a_pickled_store_opens_the_same_file(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s.sqlite", max_bytes=12345)
    store.put({"k": ("x", 1, b"y")})
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get(["k"]) == {"k": ("x", 1, b"y")}
    assert copy.max_bytes == 12345
