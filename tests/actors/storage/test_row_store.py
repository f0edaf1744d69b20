"""The store below every cache of rows: its bound, several processes on one file, damaged files."""

from __future__ import annotations

import multiprocessing
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from actors.storage import row_store
from actors.storage.row_store import OVERHEAD_BYTES, RowStore, Table

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


MARK = b"findable-mark"


@pytest.mark.parametrize(
    ("mark", "byte"), [(MARK, b"F"), (MARK, b"\xff"), (b"blob-mark", b"B"), (b"key-of-the-row", b"K")]
)
def test_a_row_with_a_flipped_byte_counts_as_absent_and_is_put_again(tmp_path: Path, mark: bytes, byte: bytes) -> None:
    path, row = tmp_path / "s.sqlite", {"key-of-the-row": (MARK.decode(), 7, b"blob-mark")}
    store = open_store(path)
    store.put({**row, "other": ("x", 1, b"")})
    store.close()
    content = path.read_bytes()
    assert mark in content
    path.write_bytes(content.replace(mark, byte + mark[1:]))
    store = open_store(path)
    assert store.get(["key-of-the-row", "Key-of-the-row", "other"]) == {"other": ("x", 1, b"")}
    store.put(row)
    assert store.get(["key-of-the-row"]) == row
    assert not list(tmp_path.glob("*.corrupt-*"))


def damage_pages(path: Path) -> None:
    """All but the first, which is all that opening a file looks at."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def test_damage_inside_a_file_sets_it_aside_once_for_all_who_meet_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = open_store(path)
    store.put({f"k{at}": ("x" * 200, at, b"") for at in range(500)})
    store.close()
    damage_pages(path)
    reader, writer, late = (open_store(path) for _ in range(3))
    assert reader.get([f"k{at}" for at in range(500)]) == {}
    reader.put({"from reader": ("x", 1, b"")})
    writer.put({"from writer": ("y", 2, b"")})
    assert set(late.get(["from reader", "from writer"])) == {"from reader", "from writer"}
    assert late.size_bytes() == 2 * (OVERHEAD_BYTES + 1)
    assert len([one for one in tmp_path.glob("s.sqlite.corrupt-*") if one.suffix.split("-")[-1].isdigit()]) == 1


def test_a_file_of_an_earlier_format_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with closing(sqlite3.connect(path)) as earlier:
        earlier.execute("CREATE TABLE things (key TEXT PRIMARY KEY, text TEXT, number INTEGER, data BLOB, size, used)")
        earlier.execute("INSERT INTO things VALUES ('k', 'x', 1, x'', 9, 0.0)")
        earlier.commit()
    store = open_store(path)
    assert (store.get(["k"]), store.size_bytes()) == ({}, 0)
    store.put({"k": ("x", 1, b"")})
    assert set(open_store(path).get(["k"])) == {"k"}, "one of this format is kept"


def test_reading_does_not_wait_for_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_store, "BUSY_TIMEOUT_S", 0.0)  # who would have to wait fails at once
    store = open_store(tmp_path / "s.sqlite")
    store.put({"k": ("x", 1, b"")})
    with closing(sqlite3.connect(store.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert set(store.get(["k"])) == {"k"}
        writer.execute("ROLLBACK")


@pytest.mark.parametrize("max_stamps", [0, 10_000])
def test_what_was_only_read_counts_as_used_for_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_stamps: int
) -> None:
    monkeypatch.setattr(row_store, "MAX_STAMPS", max_stamps)
    path, max_bytes = tmp_path / "s.sqlite", 10 * (OVERHEAD_BYTES + 100)
    store = open_store(path, max_bytes)
    for at in range(10):
        store.put({f"k{at}": ("x" * 100, at, b"")})
    reader = open_store(path, max_bytes)
    reader.get(["k0"])
    if max_stamps:
        reader.close()
    store.put({"new": ("x" * 100, 0, b"")})
    assert set(store.get(["k0", "k1", "new"])) == {"k0", "new"}


def test_the_total_is_that_of_the_rows_whatever_was_replaced_or_forgotten(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s.sqlite", max_bytes=5000)
    for at in range(60):
        store.put({f"k{at % 23}": ("x" * (at * 7 % 90), at, b""), f"m{at}": ("y" * at, at, b"z")})
        with closing(sqlite3.connect(store.path)) as other:
            assert other.execute("SELECT SUM(size) FROM things").fetchone() == (store.size_bytes(),)
        assert store.size_bytes() <= 5000
