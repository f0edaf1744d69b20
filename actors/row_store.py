"""Rows by key in one sqlite file on local disk: what every cache of ours that is keyed by a row's content stands on.

A cache: bounded in bytes, the least recently used go first, and a file that cannot be read is set aside. Several
processes may share it. Knows nothing of what the values mean.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

BUSY_TIMEOUT_S = 60.0
KEPT_FRAC = 0.9
"""How full a store is after an eviction."""
OVERHEAD_BYTES = 200
"""What a row costs beside its values."""
_QUERY_KEYS = 500

logger = logging.getLogger(__name__)

Values = tuple[Any, ...]
"""What a row holds beside its key, in the order of the table's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The table of a store: its name, and its columns beside key, size and time of use."""

    name: str
    columns: Mapping[str, str]
    """SQL type by column name."""

    @property
    def schema(self) -> str:
        """The statements that make the table where it is not there."""
        values = " ".join(f"{name} {kind} NOT NULL," for name, kind in self.columns.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} "
            f"(key TEXT PRIMARY KEY, {values} size INTEGER NOT NULL, used REAL NOT NULL);"
            f"CREATE INDEX IF NOT EXISTS {self.name}_by_use ON {self.name} (used, size);"
        )


class RowStore:
    """One table in one file."""

    def __init__(self, path: Path, *, table: Table, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._table = table
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _open(path, table.schema)

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (self.path, self._table, self.max_bytes))

    def get(self, keys: Sequence[str]) -> dict[str, Values]:
        """The remembered rows among these keys; they count as used now."""
        found: dict[str, Values] = {}
        columns, name = ", ".join(self._table.columns), self._table.name
        with self._transaction() as connection:
            for start in range(0, len(keys), _QUERY_KEYS):
                some = list(keys[start : start + _QUERY_KEYS])
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT key, {columns} FROM {name} WHERE key IN ({marks})", some)
                found.update((key, tuple(values)) for key, *values in rows)
            now = time.time()
            connection.executemany(f"UPDATE {name} SET used = ? WHERE key = ?", [(now, key) for key in found])
        return found

    def put(self, rows: Mapping[str, Values]) -> None:
        """Remembers rows, and forgets the least recently used beyond the bound."""
        now = time.time()
        marks = ", ".join("?" * (len(self._table.columns) + 3))
        full = [(key, *values, _size(values), now) for key, values in rows.items()]
        with self._transaction() as connection:
            connection.executemany(f"INSERT OR REPLACE INTO {self._table.name} VALUES ({marks})", full)
            self._evict(connection)

    def size_bytes(self) -> int:
        """What the remembered rows take."""
        with self._transaction() as connection:
            return self._total(connection)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _evict(self, connection: sqlite3.Connection) -> None:
        total = self._total(connection)
        if total <= self.max_bytes:
            return
        surplus = total - int(self.max_bytes * KEPT_FRAC)
        gone: list[tuple[str]] = []
        for key, size in connection.execute(f"SELECT key, size FROM {self._table.name} ORDER BY used, key"):
            if surplus <= 0:
                break
            gone.append((key,))
            surplus -= size
        connection.executemany(f"DELETE FROM {self._table.name} WHERE key = ?", gone)
        logger.info("%s: forgot %d old %s to stay in %d bytes", self.path, len(gone), self._table.name, self.max_bytes)

    def _total(self, connection: sqlite3.Connection) -> int:
        (total,) = connection.execute(f"SELECT COALESCE(SUM(size), 0) FROM {self._table.name}").fetchone()
        return int(total)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _reopen(path: Path, table: Table, max_bytes: int) -> RowStore:
    return RowStore(path, table=table, max_bytes=max_bytes)


def _open(path: Path, schema: str) -> sqlite3.Connection:
    """Under a lock: of several openers of a damaged file one sets it aside, and the others share the new one."""
    with filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=BUSY_TIMEOUT_S):
        try:
            return _connect(path, schema)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full: the file itself is not at fault
                raise
            aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
            logger.warning("%s cannot be read (%s): set aside as %s", path, error, aside.name)
            path.rename(aside)
            return _connect(path, schema)


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(schema)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _size(values: Values) -> int:
    texts = (value.encode() if isinstance(value, str) else value for value in values)
    return OVERHEAD_BYTES + sum(len(text) for text in texts if isinstance(text, bytes))
