"""sha256 of files, remembered for large ones.

A remembered digest is found again by path, size, inode and time of change; it is never a substitute for verifying data
that others may have tampered with.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def file_digest(path: Path) -> str:
    """sha256 of the content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remembered_digest(path: Path, *, memory: Path) -> str:
    """sha256 of the content, computed once per state of the file and kept in the folder `memory`."""
    state = path.stat()
    mark = f"{path.resolve()}|{state.st_size}|{state.st_ino}|{state.st_mtime_ns}"
    entry = memory / hashlib.sha256(mark.encode()).hexdigest()
    if entry.is_file():
        return entry.read_text(encoding="ascii")
    digest = file_digest(path)
    memory.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=memory)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(digest)
    Path(scratch).replace(entry)
    return digest
