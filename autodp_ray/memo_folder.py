"""Where this machine remembers what it computed from rows: sqlite files, which only one machine may open."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from actors.models.source import cache_folder
from actors.storage.storage import Storage

COMPLETIONS, GRADIENTS = "completions.sqlite", "gradients.sqlite"
EMBEDDINGS, SCREENINGS = "embeddings.sqlite", "screenings.sqlite"
COMPLETION_FILES = tuple(f"{COMPLETIONS}{suffix}" for suffix in ("", "-shm", "-wal", ".lock"))
"""The store of completions and what sqlite and its openers lay beside it."""


def memo_folder(storage: Storage) -> Path:
    """A machine's own memory for a storage: the storage itself where no other machine sees it.

    Else a folder in the user's cache that is named by the whole location. A path that several nodes mount is no local
    disk: sqlite's write-ahead log works on one host only.
    """
    if storage.is_local and "AUTODP_SHARED_STORAGE" not in os.environ:
        return Path(storage.location)
    name = hashlib.sha256(storage.shown.encode()).hexdigest()[:16]
    return cache_folder() / "memos" / name
