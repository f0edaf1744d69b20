"""Arrays that were computed from a row before, by a key of everything that shapes them; one sqlite file on local disk.

A cache: bounded in bytes, the least recently used go first, and a file that cannot be read is set aside. Several
processes may share it. Knows nothing of what the arrays mean.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

BUSY_TIMEOUT_S = 60.0
KEPT_FRAC = 0.9
"""How full the memo is after an eviction."""
OVERHEAD_BYTES = 200
"""What a row costs beside its array."""
_QUERY_KEYS = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS arrays (
    key TEXT PRIMARY KEY,
    data BLOB NOT NULL,
    size INTEGER NOT NULL,
    used REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS arrays_by_use ON arrays (used, size);
"""

logger = logging.getLogger(__name__)

Array = npt.NDArray[np.floating]


class RowMemo:
    """Flat arrays of one float type, float16 as a rule, by key in a sqlite file."""

    def __init__(self, path: Path, *, max_bytes: int, dtype: npt.DTypeLike = np.float16) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._dtype = np.dtype(dtype)
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _open(path)

    def get(self, keys: Sequence[str]) -> dict[str, Array]:
        """The remembered arrays among these keys; they count as used now."""
        found: dict[str, Array] = {}
        with self._transaction() as connection:
            for start in range(0, len(keys), _QUERY_KEYS):
                some = list(keys[start : start + _QUERY_KEYS])
                marks = ",".join("?" * len(some))
                for key, data in connection.execute(f"SELECT key, data FROM arrays WHERE key IN ({marks})", some):
                    found[key] = np.frombuffer(data, dtype=self._dtype)
            now = time.time()
            connection.executemany("UPDATE arrays SET used = ? WHERE key = ?", [(now, key) for key in found])
        return found

    def put(self, arrays: Mapping[str, Array]) -> None:
        """Remembers arrays, and forgets the least recently used beyond the bound."""
        now = time.time()
        plain = {key: one.astype(self._dtype, copy=False) for key, one in arrays.items()}
        rows = [(key, one.tobytes(), one.nbytes + OVERHEAD_BYTES, now) for key, one in plain.items()]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO arrays VALUES (?, ?, ?, ?)", rows)
            self._evict(connection)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _evict(self, connection: sqlite3.Connection) -> None:
        (total,) = connection.execute("SELECT COALESCE(SUM(size), 0) FROM arrays").fetchone()
        if total <= self.max_bytes:
            return
        surplus = total - int(self.max_bytes * KEPT_FRAC)
        gone: list[tuple[str]] = []
        for key, size in connection.execute("SELECT key, size FROM arrays ORDER BY used, key"):
            if surplus <= 0:
                break
            gone.append((key,))
            surplus -= size
        connection.executemany("DELETE FROM arrays WHERE key = ?", gone)
        logger.info("row memo %s: forgot %d old arrays to stay in %d bytes", self.path, len(gone), self.max_bytes)

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


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full: the file itself is not at fault
            raise
        aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
        logger.warning("row memo %s cannot be read (%s): set aside as %s", path, error, aside.name)
        path.rename(aside)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
