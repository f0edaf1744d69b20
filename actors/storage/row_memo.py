"""Arrays that were computed from a row before, by a key of everything that shapes them.

Knows nothing of what the arrays mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.storage.row_store import RowStore, Table

Array = npt.NDArray[np.floating]

_TABLE = Table(name="arrays", columns={"data": "BLOB"})


class RowMemo:
    """Flat arrays of one float type, float16 as a rule, by key in a sqlite file, which processes may share."""

    def __init__(self, path: Path, *, max_bytes: int, dtype: npt.DTypeLike = np.float16) -> None:
        self._rows = RowStore(path, table=_TABLE, max_bytes=max_bytes)
        self._dtype = np.dtype(dtype)

    def get(self, keys: Sequence[str]) -> dict[str, Array]:
        """The remembered arrays among these keys; they count as used now."""
        return {key: np.frombuffer(data, dtype=self._dtype) for key, (data,) in self._rows.get(keys).items()}

    def put(self, arrays: Mapping[str, Array]) -> None:
        """Remembers arrays, and forgets the least recently used beyond the bound."""
        self._rows.put({key: (one.astype(self._dtype, copy=False).tobytes(),) for key, one in arrays.items()})

    def close(self) -> None:
        """Closes the file."""
        self._rows.close()
