"""Whether a storage can be written, read and deleted from here, and whether it is the one that the driver sees."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from actors.storage.storage import Storage
from operators.contract.errors import InputError

CONTENT = b"autodp doctor"


@contextmanager
def planted(storage: Storage) -> Iterator[str]:
    """A small file in the storage, deleted at the end; gives its name, which no listing of the storage shows.

    Raises: InputError where it cannot be written or deleted.
    """
    name = _name()
    with _explained(storage):
        storage.write_bytes(name, CONTENT)
    try:
        yield name
    finally:
        with _explained(storage):
            storage.delete(name)


def probe(storage: Storage, planted_name: str) -> None:
    """Read the file that the driver planted; write, read and delete one of this process.

    Raises: InputError where any of it fails, or the storage is another one than the driver's.
    """
    with _explained(storage):
        if not storage.exists(planted_name):
            raise InputError(
                f"{storage.location} on {platform.node()} does not hold what the driver wrote there: mount the same "
                "folder on every node, or give a URI (--set storage=s3://bucket/prefix)"
            )
        own = _name()
        storage.write_bytes(own, CONTENT)
        is_same = CONTENT == storage.read_bytes(planted_name) == storage.read_bytes(own)
        storage.delete(own)
    if not is_same:
        raise InputError(f"{storage.location} gives back other bytes on {platform.node()} than were written there")


@contextmanager
def _explained(storage: Storage) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: of Arrow
        raise InputError(
            f"{storage.location} cannot be written, read and deleted on {platform.node()}: {error}; "
            "check the path, its permissions and the credentials of this machine"
        ) from error


def _name() -> str:
    return f".tmp-doctor-{uuid.uuid4().hex}"
