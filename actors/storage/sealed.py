"""Small files of JSON text that carry their own checksum: damage is noticed, intent is not."""

from __future__ import annotations

import json

import xxhash

from operators.contract.errors import RunError


def sealed(text: str, *, beside: bytes = b"") -> bytes:
    """A small file's bytes: JSON text with the checksum of itself and of the file beside it."""
    return json.dumps({"checksum": _checksum(text, beside), "body": text}, ensure_ascii=False, indent=1).encode()


def unsealed(data: bytes, *, beside: bytes = b"", what: str = "a file of the cache") -> str:
    """The text that was sealed.

    Raises: RunError where a byte of it or of the file beside it has changed.
    """
    try:
        found = json.loads(data)
        checksum, text = found["checksum"], found["body"]
        if isinstance(text, str) and checksum == _checksum(text, beside):
            return text
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RunError(f"{what} is damaged: its checksum differs")


def _checksum(text: str, beside: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode() + beside)
