"""The sketches of the guide rows in a file of their own, sealed: a flipped byte would silently select other rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import xxhash

from actors.storage.storage import Storage
from operators.contract.errors import RunError

GUIDE_FILE = "guide.sealed"
_GUIDE = "guide"
"""The tensor in a guide file: the mean unit sketch of each guide group, [G, C, D]."""
_SEAL_BYTES = 32


def write_guide(folder: Storage, name: str, means: npt.NDArray[np.float32]) -> None:
    """A checksum, and after it the means [G, C, D] as safetensors."""
    data = safetensors.numpy.save({_GUIDE: means})
    folder.write_bytes(name, _seal(data) + data)


def read_guide(folder: Storage, name: str) -> npt.NDArray[np.float32]:
    """[G, C, D]

    Raises: RunError where the file is gone or is not what was written.
    """
    try:
        sealed = folder.read_bytes(name)
    except FileNotFoundError:
        raise RunError(f"{folder.uri(name)} is gone; go on with --resume to make it again") from None
    seal, data = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if seal != _seal(data):
        raise RunError(f"{folder.uri(name)} is damaged: its checksum differs; go on with --resume to make it again")
    means: npt.NDArray[np.float32] = safetensors.numpy.load(data)[_GUIDE]
    return means


def has_guide(folder: Storage, name: str) -> bool:
    """Whether the file is there and whole."""
    try:
        read_guide(folder, name)
    except RunError:
        return False
    return True


def _seal(data: bytes) -> bytes:
    return xxhash.xxh3_128_hexdigest(data).encode()
