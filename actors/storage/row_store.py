"""Rows by key in one sqlite file on local disk: what every cache of ours that is keyed by a row's content stands on.

A cache: bounded in bytes, the least recently used go first. A row that was damaged on disk counts as absent, and a file
that cannot be read is set aside, whenever that shows. Several processes may share a file, and reading waits for none
of them. Knows nothing of what the values mean.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import filelock
import xxhash

from actors.cluster.metrics import count_lookups
from actors.storage.storage import PRIVATE_FILE, PRIVATE_FOLDER

FORMAT = 2
"""Of the file. One of another format is emptied: nothing tells its rows from damaged ones."""
BUSY_TIMEOUT_S = 60.0
KEPT_FRAC = 0.9
"""How full a store is after an eviction."""
OVERHEAD_BYTES = 200
"""What a row costs beside its values."""
MAX_STAMPS = 10_000
"""Times of use that wait at most; the next put writes them."""
_QUERY_KEYS = 500

logger = logging.getLogger(__name__)

T = TypeVar("T")
Values = tuple[Any, ...]
"""What a row holds beside its key, in the order of the table's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The table of a store: its name, and its columns beside key, digest, size and time of use."""

    name: str
    columns: Mapping[str, str]
    """SQL type by column name."""

    @property
    def schema(self) -> str:
        """The statements that make the table, empty, and the total of its sizes, which triggers keep."""
        values = " ".join(f"{name} {kind} NOT NULL," for name, kind in self.columns.items())
        return (
            "BEGIN IMMEDIATE;"
            f"DROP TABLE IF EXISTS {self.name};"
            "DROP TABLE IF EXISTS total;"
            f"CREATE TABLE {self.name} (key TEXT PRIMARY KEY, {values} "
            "digest BLOB NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL);"
            f"CREATE INDEX {self.name}_by_use ON {self.name} (used, size);"
            "CREATE TABLE total (bytes INTEGER NOT NULL);"
            "INSERT INTO total VALUES (0);"
            f"CREATE TRIGGER added AFTER INSERT ON {self.name} "
            "BEGIN UPDATE total SET bytes = bytes + new.size; END;"
            f"CREATE TRIGGER removed AFTER DELETE ON {self.name} "
            "BEGIN UPDATE total SET bytes = bytes - old.size; END;"
            f"PRAGMA user_version = {FORMAT};"
            "COMMIT;"
        )


class RowStore:
    """One table in one file."""

    def __init__(self, path: Path, *, table: Table, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._table = table
        self._lock = threading.Lock()
        self._stamps: dict[str, float] = {}
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        self._file = _open(path, table)

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (self.path, self._table, self.max_bytes))

    def get(self, keys: Sequence[str]) -> dict[str, Values]:
        """The remembered rows among these keys; they count as used now."""
        found = self._on_file(lambda connection: self._read(connection, keys))
        count_lookups(self.path.stem, hits=len(found), asked=len(keys))
        return found

    def put(self, rows: Mapping[str, Values]) -> None:
        """Remembers rows, and forgets the least recently used beyond the bound."""
        self._on_file(lambda connection: self._write(connection, rows))

    def size_bytes(self) -> int:
        """What the remembered rows take."""
        return self._on_file(_total)

    def close(self) -> None:
        """Closes the file."""
        if self._stamps:
            self.put({})
        with self._lock:
            self._file.connection.close()

    def _on_file(self, step: Callable[[sqlite3.Connection], T]) -> T:
        """The step; where it meets damage, the file is set aside and the step is done on a new one."""
        with self._lock:
            try:
                return step(self._file.connection)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._file.connection.close()
                self._file = _open(self.path, self._table, damaged=self._file.inode)
                return step(self._file.connection)

    def _read(self, connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Values]:
        found: dict[str, Values] = {}
        columns = ", ".join(self._table.columns)
        for start in range(0, len(keys), _QUERY_KEYS):
            some = list(keys[start : start + _QUERY_KEYS])
            marks = ",".join("?" * len(some))
            query = f"SELECT key, digest, {columns} FROM {self._table.name} WHERE key IN ({marks})"
            for key, digest, *values in connection.execute(query, some):
                if digest == _digest(key, values):
                    found[key] = tuple(values)
        self._stamps.update(dict.fromkeys(found, time.time()))
        if len(self._stamps) > MAX_STAMPS:
            self._write(connection, {})
        return found

    def _write(self, connection: sqlite3.Connection, rows: Mapping[str, Values]) -> None:
        now, name = time.time(), self._table.name
        marks = ", ".join("?" * (len(self._table.columns) + 4))
        full = [(key, *values, _digest(key, values), _size(values), now) for key, values in rows.items()]
        stamps, self._stamps = self._stamps, {}
        with _transaction(connection):
            connection.executemany(
                f"UPDATE {name} SET used = ? WHERE key = ?", [(at, key) for key, at in stamps.items()]
            )
            connection.executemany(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", full)
            self._evict(connection)

    def _evict(self, connection: sqlite3.Connection) -> None:
        total = _total(connection)
        if total <= self.max_bytes:
            return
        surplus = total - int(self.max_bytes * KEPT_FRAC)
        gone: list[tuple[int]] = []
        for row, size in connection.execute(f"SELECT rowid, size FROM {self._table.name} ORDER BY used, size"):
            if surplus <= 0:
                break
            gone.append((row,))
            surplus -= size
        connection.executemany(f"DELETE FROM {self._table.name} WHERE rowid = ?", gone)
        logger.info("%s: forgot %d old %s to stay in %d bytes", self.path, len(gone), self._table.name, self.max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """An open file, and which one it is: the path may lead to another by now."""

    connection: sqlite3.Connection
    inode: int


def _reopen(path: Path, table: Table, max_bytes: int) -> RowStore:
    return RowStore(path, table=table, max_bytes=max_bytes)


def _open(path: Path, table: Table, *, damaged: int | None = None) -> _File:
    """Under a lock: of several that find a file damaged one sets it aside, and the others share the new one.

    `damaged` is the inode of a file that turned out to be so after it was opened.
    """
    with filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=BUSY_TIMEOUT_S, mode=PRIVATE_FILE):
        if damaged is not None and path.exists() and path.stat().st_ino == damaged:
            _set_aside(path)
        try:
            connection = _connect(path, table)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            _set_aside(path)
            connection = _connect(path, table)
        return _File(connection=connection, inode=path.stat().st_ino)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """sqlite3 raises a plain DatabaseError for damage alone; its subclasses mean a lock, a full disk or wrong SQL."""
    return type(error) is sqlite3.DatabaseError


def _set_aside(path: Path) -> None:
    """Also renames -wal and -shm, so that open connections keep a consistent set and the new file starts without."""
    aside = f"{path.name}.corrupt-{time.time_ns()}"
    logger.warning("%s is damaged: set aside as %s", path, aside)
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(aside + suffix))


def _connect(path: Path, table: Table) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT, PRIVATE_FILE))  # before sqlite makes it: what is remembered may quote rows
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.text_factory = lambda data: data.decode(errors="replace")  # damaged text: its digest tells
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA recursive_triggers=ON")  # else a replaced row would stay in the total
        if connection.execute("PRAGMA user_version").fetchone() != (FORMAT,):
            connection.executescript(table.schema)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _total(connection: sqlite3.Connection) -> int:
    (total,) = connection.execute("SELECT bytes FROM total").fetchone()
    return int(total)


def _digest(key: str, values: Sequence[Any]) -> bytes:
    """xxh3 of a row; it guards against damage, not against intent."""
    digest = xxhash.xxh3_64(key.encode())
    for value in values:
        data = value if isinstance(value, bytes) else str(value).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _size(values: Values) -> int:
    texts = (value.encode() if isinstance(value, str) else value for value in values)
    return OVERHEAD_BYTES + sum(len(text) for text in texts if isinstance(text, bytes))
