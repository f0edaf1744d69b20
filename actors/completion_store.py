"""Completions that were received before, by the digest of everything that shapes them; one sqlite file on local disk.

A cache: bounded in bytes, the least recently used go first, and a file that cannot be read is set aside. Several
processes may share it. Knows no endpoint; whoever calls decides what may be kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from operators.base import Completion, CompletionRequest

BUSY_TIMEOUT_S = 60.0
KEPT_FRAC = 0.9
"""How full the store is after an eviction."""
OVERHEAD_BYTES = 200
"""What a row costs beside its text."""
_QUERY_KEYS = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS completions (
    key TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    size INTEGER NOT NULL,
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS completions_by_use ON completions (used, size);
"""

logger = logging.getLogger(__name__)


def completion_key(request: CompletionRequest, *, revision: str) -> str:
    """sha256 of the prompt, model revision, decoding parameters, seed and schema; a greedy request has no seed."""
    seed = request.seed if request.temperature > 0 else 0
    body = [revision, request.messages, request.max_tokens, request.temperature, seed, request.json_schema]
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


class CompletionStore:
    """Completions by key in a sqlite file."""

    def __init__(self, path: Path, *, max_bytes: int = 2 * 2**30) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _open(path)

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (self.path, self.max_bytes))

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """The remembered completions among these keys; they count as used now."""
        found: dict[str, Completion] = {}
        with self._transaction() as connection:
            for start in range(0, len(keys), _QUERY_KEYS):
                found.update(_select(connection, keys[start : start + _QUERY_KEYS]))
            now = time.time()
            connection.executemany("UPDATE completions SET used = ? WHERE key = ?", [(now, key) for key in found])
        return found

    def put(self, completions: Mapping[str, Completion]) -> None:
        """Remembers completions, and forgets the least recently used beyond the bound."""
        now = time.time()
        rows = [
            (key, item.text, item.finish_reason, item.prompt_tokens, item.completion_tokens, _size(item), now)
            for key, item in completions.items()
        ]
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO completions VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._evict(connection)

    def size_bytes(self) -> int:
        """What the remembered completions take."""
        with self._transaction() as connection:
            return _total(connection)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _evict(self, connection: sqlite3.Connection) -> None:
        surplus = _total(connection) - self.max_bytes
        if surplus <= 0:
            return
        surplus += int(self.max_bytes * (1 - KEPT_FRAC))
        gone: list[tuple[str]] = []
        for key, size in connection.execute("SELECT key, size FROM completions ORDER BY used, key"):
            if surplus <= 0:
                break
            gone.append((key,))
            surplus -= size
        connection.executemany("DELETE FROM completions WHERE key = ?", gone)
        logger.info(
            "completion store %s: forgot %d old completions to stay in %d bytes", self.path, len(gone), self.max_bytes
        )

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


def _reopen(path: Path, max_bytes: int) -> CompletionStore:
    return CompletionStore(path, max_bytes=max_bytes)


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full: the file itself is not at fault
            raise
        aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
        logger.warning("completion store %s cannot be read (%s): set aside as %s", path, error, aside.name)
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


def _select(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Completion]:
    marks = ",".join("?" * len(keys))
    columns = "key, text, finish_reason, prompt_tokens, completion_tokens"
    rows = connection.execute(f"SELECT {columns} FROM completions WHERE key IN ({marks})", list(keys))
    return {
        key: Completion(text=text, finish_reason=reason, prompt_tokens=prompt, completion_tokens=completion)
        for key, text, reason, prompt, completion in rows
    }


def _total(connection: sqlite3.Connection) -> int:
    (total,) = connection.execute("SELECT COALESCE(SUM(size), 0) FROM completions").fetchone()
    return int(total)


def _size(completion: Completion) -> int:
    return len(completion.text.encode()) + OVERHEAD_BYTES
