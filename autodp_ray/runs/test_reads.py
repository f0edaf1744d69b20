"""How many claims were tried on the same test rows: each further one makes a lucky one likelier.

Every claim leaves an empty file in the cache, which runs share; the same claim again is the same file.
"""

from __future__ import annotations

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from operators.contract.digest import json_digest

FOLDER = "test_reads"


def note_test_read(cache: Storage, test: StoredDataset, *, claim: object) -> int:
    """Note that a claim is tried on these test rows; how many different ones were, this one among them."""
    folder = cache.folder(f"{FOLDER}/{test.content_hash}")
    folder.write_text(json_digest(claim), "")
    return len(folder.names())
