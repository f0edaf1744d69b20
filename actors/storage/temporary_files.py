"""What a file is called until it is whole: no listing of a storage shows it, and the name tells of which file it is."""

from __future__ import annotations

import os
import uuid

import xxhash

TEMPORARY = ".tmp-"
"""What all such names begin with."""


def temporary_name(name: str) -> str:
    """A new one for a file."""
    return f"{prefix_of(name)}{uuid.uuid4().hex}"


def prefix_of(name: str) -> str:
    """What the temporary names of a file begin with."""
    return f"{TEMPORARY}{xxhash.xxh3_64_hexdigest(os.fsencode(name))}-"
